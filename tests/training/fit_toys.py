"""Small real tasks, data and networks for the tests of training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.masks import Free, Masks, Weights
from stencilnet.methods import NetworkFunction, Penalty
from stencilnet.models import UNet, layout_of
from stencilnet.models.unet import DECODER
from stencilnet.pictures.images import Floats
from stencilnet.tasks.task import Example, Metric, Predictor, Recipe, Sample
from stencilnet.training.distributed import ALONE, Group
from stencilnet.training.fit import Job, make_fit
from stencilnet.training.settings import Settings, resolve
from stencilnet.training.sinks import Sink


class Blobs:
    """Pictures by (epoch, index): a smooth pattern, and noise that is a function of both."""

    def __init__(self, count: int, size: int = 32, first: int = 0) -> None:
        self.count, self.size, self.first = count, size, first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        pattern = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(self.first + index))
        noise = torch.rand(3, self.size, self.size, generator=torch.Generator().manual_seed(1000 * epoch + index))
        image = F.interpolate(pattern, size=self.size, mode="bilinear")[0] * 0.9 + 0.1 * noise
        return {"input": image, "target": 1 - image.mean(dim=0, keepdim=True)}


class Still:
    """Validation: one epoch of `Blobs`; every second picture wider, where asked."""

    def __init__(self, count: int, uneven: bool = False) -> None:
        self.blobs, self.uneven = Blobs(count, first=500), uneven

    def __len__(self) -> int:
        return len(self.blobs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = self.blobs[0, index]
        if self.uneven and index % 2:
            return {name: F.pad(tensor, (0, 5), mode="replicate") for name, tensor in sample.items()}
        return sample


class MeanError:
    def __init__(self) -> None:
        self.total, self.pixels = 0.0, 0

    def update(self, output: Tensor, sample: Sample) -> None:
        self.total += float((output.double() - sample["target"]).square().sum())
        self.pixels += output.numel()

    def compute(self) -> dict[str, float]:
        return {"MSE": self.total / self.pixels, "pixels": float(self.pixels)}


@dataclass(frozen=True, kw_only=True)
class Invert:
    """Regress the negative in gray."""

    kind: ClassVar[str] = "invert"
    higher: bool = False
    poison: int = -1

    @property
    def channels(self) -> int:
        return 1

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Metric(name="MSE", higher_is_better=self.higher), Metric(name="pixels", higher_is_better=True))

    @property
    def trivial(self) -> str:
        return "gray"

    def recipe(self) -> Recipe:
        return Recipe()

    def settings(self) -> dict[str, Any]:
        return {}

    def sample(self, example: Example) -> dict[str, Tensor]:
        raise NotImplementedError

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        return dict(sample)

    def weight(self, sample: Sample) -> Tensor:
        return torch.tensor(float(len(sample["input"])))

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        return {"l2": F.mse_loss(output, sample["target"]), "l1": 0.1 * F.l1_loss(output, sample["target"])}

    def critic(self) -> nn.Module | None:
        return None

    def critic_loss(self, critic: nn.Module, output: Tensor, sample: Sample) -> Tensor:
        raise NotImplementedError

    def scores(self) -> MeanError:
        return MeanError()

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        raise NotImplementedError

    def to_input(self, image: Image.Image) -> Floats:
        raise NotImplementedError

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        return Image.fromarray((output[0].clip(0, 1) * 255).astype(np.uint8))

    def target_image(self, sample: Sample) -> Image.Image | None:
        return self.to_image(sample["target"].numpy(), sample["input"].numpy())


@dataclass(frozen=True, kw_only=True)
class Duel(Invert):
    """The same with a critic on (input, output) pairs."""

    kind: ClassVar[str] = "duel"

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        assert critic is not None
        assert not any(parameter.requires_grad for parameter in critic.parameters())
        judged = critic(torch.cat([sample["input"], output], dim=1))
        gan = F.binary_cross_entropy_with_logits(judged, torch.ones_like(judged))
        return {"gan": gan, "l1": 10 * F.l1_loss(output, sample["target"])}

    def critic(self) -> nn.Module | None:
        return nn.Sequential(nn.Conv2d(4, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 4, 2, 1))

    def critic_loss(self, critic: nn.Module, output: Tensor, sample: Sample) -> Tensor:
        assert not output.requires_grad
        real = critic(torch.cat([sample["input"], sample["target"]], dim=1))
        fake = critic(torch.cat([sample["input"], output], dim=1))
        loss = F.binary_cross_entropy_with_logits
        return (loss(real, torch.ones_like(real)) + loss(fake, torch.zeros_like(fake))) / 2


class Normed(nn.Module):
    """A network with running statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout2d(0.3)
        self.head = nn.Conv2d(6, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(F.relu(self.norm(self.conv(x)))))


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().requires_grad_(False).eval()


def unet() -> nn.Module:
    return seeded(lambda: UNet(width=2, channels=1))


def masks(backbone: nn.Module) -> Masks:
    layout = layout_of(backbone, "head", DECODER if isinstance(backbone, UNet) else ())
    return Masks(*parts(backbone), layout.masked)


def weights(backbone: nn.Module) -> Weights:
    layout = layout_of(backbone, "head", DECODER if isinstance(backbone, UNet) else ())
    return Weights(*parts(backbone), layout.parameters)


def free(backbone: nn.Module) -> Free:
    """Every second element of the masked weights is free."""
    shared, buffers, head = parts(backbone)
    names = layout_of(backbone, "head", ()).masked
    bits = {name: (torch.arange(shared[name].numel()) % 2 == 0).view_as(shared[name]) for name in names}
    return Free(shared, buffers, head, bits)


def parts(backbone: nn.Module) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, Tensor]]:
    layout = layout_of(backbone, "head", ())
    state = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    head = {name: state.pop(name) for name in layout.head}
    return state, layout.buffers, head


def job(folder: Path, **changes: Any) -> Job:
    fields: dict[str, Any] = {
        "name": "piggyback/invert",
        "folder": folder,
        "task": Invert(),
        "recipe": Recipe(steps=6, batch=4, lr=1e-3),
        "mask_lr": 2e-3,
        "seed": 7,
        "train": Blobs(10),
        "validation": Still(5),
    }
    return Job(**(fields | changes))


def fit(
    job: Job,
    trainable: Masks | Weights | Free,
    backbone: nn.Module,
    *,
    sinks: Sequence[Sink] = (),
    resume: bool = False,
    stop: Callable[[], bool] = bool,
    group: Group = ALONE,
    penalty: Penalty | None = None,
    share: float = 1.0,
    lr_scale: float = 1.0,
    **settings: Any,
) -> Masks | Weights | Free:
    defaults = {"precision": "float32", "evaluate_every": 2, "checkpoint_every": 2, "log_every": 1, "samples": 0}
    chosen = {"device": "cpu"} | defaults | settings
    resolved = resolve(Settings(**chosen), group)
    made = make_fit(backbone, job, resolved, sinks, resume=resume, stop=stop, group=group)
    return made(trainable, penalty=penalty, share=share, lr_scale=lr_scale)


class Pull(Penalty):
    """Half the squared distance of the convolutions from a point, times how bright images and outputs are."""

    name: ClassVar[str] = "pull"

    def __init__(self, strength: float = 1.0, point: float = 0.1) -> None:
        super().__init__()
        self.strength = strength
        self.register_buffer("point", torch.tensor(point))

    def settings(self) -> dict[str, float | str]:
        return {"strength": self.strength}

    def forward(self, weights: Mapping[str, Tensor], images: Tensor, run: NetworkFunction) -> Tensor:
        trunk = [tensor for name, tensor in weights.items() if name.endswith("weight") and "head" not in name]
        far = torch.stack([(tensor - self.point).square().sum() for tensor in trunk]).sum() / 2
        return self.strength * far * (images.mean() + run(weights, images).square().mean())


class StopAfter:
    """True from the n-th question on."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def delta_bytes(trainable: Masks | Weights) -> dict[str, bytes]:
    return {
        f"{key}.{part}": array.tobytes()
        for key, entry in trainable.delta().entries.items()
        for part, array in entry.tensors().items()
    }
