"""The interface of a task kind that is learned, and the plain data that passes through it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PIL import Image
from torch import Tensor, nn

from stencilnet.kinds.kind import Kind, LabelKind, PictureKind
from stencilnet.text.fields import check_fields

Sample = Mapping[str, Tensor]
"""Tensors of one example by name, or of a batch (with a leading N).

A loader yields compact samples (`Task.sample`): uint8, to keep transfers to the device small. On the device they become
prepared samples (`Task.prepare`): ``input`` (3, H, W) float32 in [0, 1], and what the task's loss and metrics need
(``target``, ...)."""

Predictor = Callable[[Sample], Tensor]
"""Maps a prepared batch to raw outputs ``(N, C, H, W)``: a trained network, or a trivial baseline."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One stored example, independent of any task.

    Attributes:
        name: Its origin (a file name), for error messages.
        image: ``(3, H, W)`` uint8 RGB.
        label: ``(H, W)`` uint8 class indices, 255 for void; None if it has no labels.
        target: ``(3, H, W)`` uint8 RGB, the target image of a pair; None if it is not a pair.
        category: Class index of the whole image, from 0; None if it has no class.
    """

    name: str
    image: Tensor
    label: Tensor | None = None
    target: Tensor | None = None
    category: int | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that a task reports.

    Attributes:
        name: Name in tables (``mIoU``, ``MSE``, ...).
        higher_is_better: Whether higher values are better.
        note: What exactly is measured: range, window, unit, the network of a perceptual loss.
    """

    name: str
    higher_is_better: bool
    note: str = ""


class Scores(Protocol):
    """Accumulates a task's metrics over a split; one new object per pass."""

    def update(self, output: Tensor, sample: Sample) -> None:
        """Add a batch of raw outputs ``(N, C, H, W)`` and its prepared sample, both on one device."""
        ...

    def compute(self) -> dict[str, float]:
        """Return every metric of `Task.metrics` over all batches so far.

        Raises:
            ValueError: If no batch was added.
        """
        ...


SCHEDULES = ("constant", "cosine", "linear")
"""Learning rate schedules, described in `Recipe`."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a task is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Examples per step.
        lr: Learning rate of weights and head (Adam). The method sets that of masks.
        betas: Adam's betas.
        schedule: ``constant``, ``cosine`` to zero, or ``linear`` decay to zero over the second half (Isola et al.).
    """

    steps: int = 1000
    batch: int = 8
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        check_fields(
            ("steps", self.steps >= 1, f"to be at least 1, but got {self.steps}"),
            ("batch", self.batch >= 1, f"to be at least 1, but got {self.batch}"),
            ("lr", self.lr > 0, f"to be positive, but got {self.lr}"),
            ("betas", all(0 <= beta < 1 for beta in self.betas), f"to lie in [0, 1), but got {self.betas}"),
            ("schedule", self.schedule in SCHEDULES, f"to be one of {SCHEDULES}, but got {self.schedule!r}"),
        )


class Task(Kind, Protocol):
    """A task kind that is learned: all its settings, a frozen dataclass that a config file can describe.

    Its output is either a picture or a label: see `PictureTask` and `LabelTask`.
    """

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The reported metrics; the first is the headline, by which the best step is selected."""
        ...

    @property
    def trivial(self) -> str:
        """Name of the trivial baseline (``majority``, ``gray``, ``identity``, ...)."""
        ...

    @classmethod
    def recipe(cls) -> Recipe:
        """Return the kind's default recipe."""
        ...

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Convert a stored example (already cropped and flipped) to a compact uint8 sample, in a loader process.

        Raises:
            ValueError: If the example lacks what the task needs; the error names the example and the remedy.
        """
        ...

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Convert a compact sample, single or batched, on any device, to the network's input and the loss's target."""
        ...

    def weight(self, sample: Sample) -> Tensor:
        """Return the weight of a prepared batch in a mean of losses over several batches: a scalar, at least 0.

        The loss of a batch equals the mean of its parts' losses with these weights, however it is divided.
        """
        ...

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        """Return the weighted terms of the loss on raw outputs ``(N, C, H, W)`` and a prepared batch.

        Training minimises their sum.
        """
        ...

    def critic(self) -> nn.Module | None:
        """Return a new critic for adversarial training, or None. Checkpoints store it, bundles never do."""
        ...

    def critic_loss(self, critic: nn.Module, output: Tensor, sample: Sample) -> Tensor:
        """Return the critic's own loss; `output` is already detached."""
        ...

    def scores(self) -> Scores:
        """Return new accumulators for `metrics`."""
        ...

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Fit the trivial baseline on unbatched, prepared training samples; it predicts for prepared batches."""
        ...


@runtime_checkable
class PictureTask(Task, PictureKind, Protocol):
    """A task whose output is a picture. Check with ``isinstance``."""

    def target_image(self, sample: Sample) -> Image.Image | None:
        """Return the picture of a perfect output for an unbatched, prepared sample; None without a ground truth."""
        ...


@runtime_checkable
class LabelMapTask(PictureTask, Protocol):
    """A task that assigns a class to each pixel and is learned from label maps. Check with ``isinstance``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices."""
        ...


@runtime_checkable
class LabelTask(Task, LabelKind, Protocol):
    """A task whose output is a label of the whole image, not a picture. Check with ``isinstance``.

    Its backbone is a classifier (VGG16). Its `classes` may be empty: a config takes them from its data.
    """

    def with_classes(self, classes: tuple[str, ...]) -> "LabelTask":
        """Return this task with other class names."""
        ...
