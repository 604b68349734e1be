"""Measuring a step takes real ones, and leaves nothing behind."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stencilnet.masks import Masks, Weights
from stencilnet.tasks.task import Recipe, Sample
from stencilnet.training.settings import Settings, resolve
from stencilnet.training.timing import StepCost, load_batch, time_steps

from .fit_toys import Blobs, Duel, Invert, Normed, job, masks, seeded, unet, weights


def measure(backbone: nn.Module, trainable: Masks | Weights, what: Any, **options: Any) -> StepCost:
    return time_steps(backbone, trainable, what, resolve(Settings(device="cpu", precision="float32")), **options)


def contents(module: nn.Module, as_bytes: Any) -> tuple[Any, ...]:
    gradients = [parameter.grad is None for parameter in module.parameters()]
    return as_bytes(module.state_dict()), gradients, module.training, [p.requires_grad for p in module.parameters()]


@pytest.mark.parametrize("task", [Invert(), Duel()])
@pytest.mark.parametrize("make", [masks, weights])
def test_a_step_takes_time_and_memory(task: Any, make: Any, tmp_path: Path) -> None:
    backbone = unet()
    cost = measure(backbone, make(backbone), job(tmp_path, task=task), steps=2)
    assert min(cost.seconds, cost.loading, cost.augmenting, cost.scoring) > 0
    assert cost.images_per_second == pytest.approx(4 / cost.seconds)
    assert (cost.steps, cost.images, cost.peak_measured) == (2, 4, False)


@pytest.mark.parametrize("backbone", [unet(), seeded(Normed)])
def test_nothing_is_left_behind(
    backbone: nn.Module, tmp_path: Path, as_bytes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trainable = masks(backbone)
    before = [contents(module, as_bytes) for module in (backbone, trainable)]
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    measure(backbone, trainable, job(tmp_path / "nowhere", task=Duel()), steps=1)
    assert [contents(module, as_bytes) for module in (backbone, trainable)] == before
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True, kw_only=True)
class Counted(Invert):
    """Counts the images of every training step, and of every scoring."""

    kind: ClassVar[str] = "counted"
    steps: list[int]

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        self.steps.append(len(sample["input"]))
        return super().loss(output, sample, critic)


@pytest.mark.parametrize(
    ("options", "images"),
    [
        ({"steps": 3, "patience": 60.0}, [1, 4, 4, 4, 4]),
        ({"steps": 2, "warmup": 3, "patience": 60.0}, [1, 4, 4, 4, 4, 4]),
        ({"steps": 5, "patience": 0.0}, [1, 2, 2]),
    ],
)
def test_only_so_many_steps_are_taken(options: dict[str, Any], images: list[int], tmp_path: Path) -> None:
    backbone, steps = unet(), []
    cost = measure(backbone, masks(backbone), job(tmp_path, task=Counted(steps=steps)), **options)
    assert steps == images
    assert cost.images == images[-1]


@dataclass(kw_only=True)
class Clock:
    """A clock that training steps advance."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, kw_only=True)
class Timed(Counted):
    """A step takes a second an image, nine more at the first of each size, and another at the outlier."""

    kind: ClassVar[str] = "timed"
    clock: Clock
    outlier: int = -1

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        images, number = len(sample["input"]), len(self.steps)
        self.clock.now += images + 9 * (images not in self.steps) + (number == self.outlier)
        return super().loss(output, sample, critic)


@pytest.mark.parametrize(
    ("patience", "outlier", "images"),
    [
        (3.0, -1, [1, 2, 2, 2]),
        (3.9, -1, [1, 2, 2, 2]),
        (7.5, 3, [1, 2, 2, 2, 2]),
        (9.0, -1, [1, 2, 2, 2, 2, 8, 8, 8]),
        (100.0, 2, [1, 8, 8, 8, 8]),
    ],
)
def test_first_steps_and_single_slow_ones_do_not_count(
    patience: float, outlier: int, images: list[int], tmp_path: Path
) -> None:
    backbone, clock = unet(), Clock()
    task = Timed(steps=[], clock=clock, outlier=outlier)
    cost = measure(
        backbone, masks(backbone), job(tmp_path, task=task, recipe=Recipe(batch=8)), patience=patience, clock=clock
    )
    assert cost.seconds == 8
    assert task.steps == images


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_with_nothing_to_leave_out_is_taken_whole(batch: int, tmp_path: Path) -> None:
    backbone = unet()
    cost = measure(backbone, masks(backbone), job(tmp_path, recipe=Recipe(steps=1, batch=batch)), patience=0.0)
    assert (cost.images, cost.steps) == (batch, 1)


@pytest.mark.parametrize("task", [Invert(), Duel()])
def test_memory_in_proportion_is_that_of_the_whole_batch(task: Any, tmp_path: Path) -> None:
    backbone = unet()
    slow, whole = (
        measure(backbone, masks(backbone), job(tmp_path, task=task, recipe=Recipe(batch=6)), patience=patience)
        for patience in (0.0, 60.0)
    )
    assert (slow.images, whole.images) == (2, 6)
    assert slow.peak_bytes == pytest.approx(whole.peak_bytes, rel=0.02)


@dataclass(frozen=True, kw_only=True)
class Plain(Invert):
    """Its loss keeps nothing but the output."""

    kind: ClassVar[str] = "plain"

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        return {"sum": output.sum()}


class Two(nn.Module):
    """Two convolutions: what a step keeps of them can be counted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1, bias=False)
        self.head = nn.Conv2d(5, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(x)))


def test_estimated_memory_is_counted_by_hand(tmp_path: Path) -> None:
    backbone = seeded(Two)
    trainable = Weights(
        {"conv.weight": backbone.conv.weight}, (), {"head.weight": backbone.head.weight}, ["conv.weight"]
    )
    cost = measure(backbone, trainable, job(tmp_path, task=Plain()))
    pixels, batch = 32 * 32, 4
    parameters = 5 * 3 * 9 + 5
    standing = 4 * parameters + batch * (3 + 1) * pixels  # weights, gradients, two moments; input and target
    kept = batch * 5 * pixels  # the head's input, which is also all that the ReLU keeps; the batch is counted already
    assert cost.peak_bytes == 4 * (standing + kept)


def test_half_a_batch_at_a_time_takes_less(tmp_path: Path) -> None:
    backbone, what = unet(), job(tmp_path, recipe=Recipe(batch=8))
    settings = [Settings(device="cpu", precision="float32", accumulate=parts) for parts in (1, 4)]
    whole, half = (time_steps(backbone, masks(backbone), what, resolve(one), steps=1) for one in settings)
    assert half.peak_bytes < 0.7 * whole.peak_bytes
    assert (whole.images, half.images) == (8, 8)


def test_the_batch_is_the_training_s_first(tmp_path: Path) -> None:
    what = job(tmp_path, train=Blobs(10))
    batch, seconds = load_batch(what)
    assert batch["input"].shape == (4, 3, 32, 32)
    assert seconds > 0
    own = [what.train[0, index]["input"] for index in range(10)]
    assert all(any(torch.equal(image, other) for other in own) for image in batch["input"])


def test_settings_are_checked(tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(ValueError, match="`steps` and `warmup` to be at least 1, but got 0 and 1"):
        measure(backbone, masks(backbone), job(tmp_path), steps=0)
    with pytest.raises(ValueError, match="Make the trainable from this backbone"):
        measure(seeded(Normed), masks(backbone), replace(job(tmp_path)))
