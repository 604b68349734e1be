"""Run by torchrun in two processes, and by the test in one: the same trainings, their results in a folder."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from fit_toys import Blobs, Duel, Normed, Pull, fit, free, job, masks, seeded

from stencilnet.cli.devices import on_devices
from stencilnet.models import UNet
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Recipe
from stencilnet.training.distributed import Group


@dataclass(frozen=True)
class Voids:
    """Labelled pictures of which most have few labelled pixels."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Tensor]:
        index = key if isinstance(key, int) else key[1]
        image = Blobs(1000)[0, index]["input"]
        target = (3 * image.mean(dim=0)).long().clamp(0, 2).to(torch.uint8)
        target.view(-1)[: (0, 300, 900, 1020)[index % 4]] = 255
        return {"input": (255 * image).to(torch.uint8), "target": target}


@dataclass(frozen=True)
class Pairs(Voids):
    """Drawings of photos, of a sort."""

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Tensor]:
        photo = super().__getitem__(key)["input"]
        return {"input": photo.float().mean(dim=0, keepdim=True).to(torch.uint8), "target": photo}


def work(group: Group, out: Path) -> None:
    labels = Segmentation(classes=("a", "b", "c"), class_weights=(1.0, 0.3, 2.0))
    first = {"task": labels, "train": Voids(10), "validation": Voids(4), "mask_lr": 1e-3}
    backbone = seeded(lambda: UNet(width=2, channels=3))
    trained = {"labels": fit(job(out / "labels", **first), masks(backbone), backbone, group=group)}
    rounded = job(out / "rounded", **first)
    trained["rounded"] = fit(rounded, masks(backbone), backbone, group=group, precision="bf16")
    recipe = Recipe(steps=5, batch=8, lr=1e-3)
    painting = Edges2Photo(critic_layers=1, critic_width=4)
    second = job(out / "painting", task=painting, recipe=recipe, train=Pairs(10), validation=Pairs(4), mask_lr=1e-3)
    trained["painting"] = fit(second, masks(backbone), backbone, group=group, accumulate=2)
    pulled = job(out / "pulled", **first)
    trained["pulled"] = fit(pulled, masks(backbone), backbone, group=group, accumulate=2, penalty=Pull(0.1))
    freed = job(out / "freed", **first)
    trained["freed"] = fit(freed, free(backbone), backbone, group=group)
    normed = seeded(Normed)
    trained["normed"] = fit(job(out / "normed", task=Duel()), masks(normed), normed, group=group, evaluate_every=6)
    torch.save({name: dict(trainable.state_dict()) for name, trainable in trained.items()}, out / "trained.pt")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    on_devices(1, lambda group: work(group, folder))
