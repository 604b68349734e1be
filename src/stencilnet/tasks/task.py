"""The interface of a task kind, and the plain data that passes through it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from PIL import Image
from torch import Tensor, nn

VOID = 255
"""Label value of pixels that count neither in a loss nor in a metric."""

Sample = Mapping[str, Tensor]
"""Tensors of one example by name, or of a batch of them (a leading N).

As loaded (`Task.sample`) they are compact: uint8, so that little goes from loader to device. Prepared (`Task.prepare`,
on the device) they are what the network sees: ``input`` (3, H, W) float32 in [0, 1], and what the task's loss and
metrics need beside it (``target``, ...)."""

Predictor = Callable[[Sample], Tensor]
"""From a prepared batch to raw outputs ``(N, C, H, W)``: a trained network, or a trivial baseline."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One stored example, before any task looks at it.

    Attributes:
        name: Where it is from (a file name), for error messages.
        image: ``(3, H, W)`` uint8 RGB.
        label: ``(H, W)`` uint8 class indices, 255 is void; None where there are none.
        target: ``(3, H, W)`` uint8 RGB, the other half of a pair; None where there is none.
        category: Class index of the whole image, from 0; None where there is none.
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
        name: As in tables (``mIoU``, ``MSE``, ...).
        higher_is_better: Its direction.
        note: What exactly is measured: range, window, units, the network of a perceptual loss.
    """

    name: str
    higher_is_better: bool
    note: str = ""


class Scores(Protocol):
    """Accumulates a task's metrics over a split; one fresh object a pass."""

    def update(self, output: Tensor, sample: Sample) -> None:
        """Take in a batch of raw outputs ``(N, C, H, W)`` and its prepared sample (both on one device)."""
        ...

    def compute(self) -> dict[str, float]:
        """Return every metric of `Task.metrics` over all batches so far.

        Raises:
            ValueError: If nothing was taken in.
        """
        ...


SCHEDULES = ("constant", "cosine", "linear")
"""How a learning rate may go: see `Recipe.schedule`."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a task is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Examples a step.
        lr: Learning rate of weights and head (Adam). A mask's comes from the method.
        betas: Adam's betas.
        schedule: ``constant``, ``cosine`` to zero, or ``linear`` decay to zero over the second half (Isola et al.).
    """

    steps: int = 1000
    batch: int = 8
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        problems = [
            *([] if self.steps >= 1 else [f"`steps` to be at least 1, but got {self.steps}"]),
            *([] if self.batch >= 1 else [f"`batch` to be at least 1, but got {self.batch}"]),
            *([] if self.lr > 0 else [f"`lr` to be positive, but got {self.lr}"]),
            *([] if all(0 <= b < 1 for b in self.betas) else [f"`betas` to lie in [0, 1), but got {self.betas}"]),
            *(
                []
                if self.schedule in SCHEDULES
                else [f"`schedule` to be one of {SCHEDULES}, but got {self.schedule!r}"]
            ),
        ]
        if problems:
            raise ValueError("Expected " + "; ".join(problems) + ".")


class Task(Protocol):
    """A task kind with its settings: a frozen dataclass that a config file can spell out.

    What becomes of an output is one of two things: see `PictureTask` and `LabelTask`.

    Attributes:
        kind: Name of the kind in configs and bundles.
    """

    kind: ClassVar[str]

    @property
    def channels(self) -> int:
        """Output channels of the head."""
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is reported, the headline (by which a step is selected) first."""
        ...

    @property
    def trivial(self) -> str:
        """Name of the trivial baseline (``majority``, ``gray``, ``identity``, ...)."""
        ...

    @classmethod
    def recipe(cls) -> Recipe:
        """Return the kind's default recipe."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return, as JSON data, all that inputs and answers need: ``type(task)(**settings)`` makes the same ones."""
        ...

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Turn a stored example (already cropped and flipped) into a compact sample: uint8, in a loader's process.

        Raises:
            ValueError: If the example lacks what the task needs, naming the example and the remedy.
        """
        ...

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Turn a compact sample, single or batched, on any device, into the network's input and the loss's target."""
        ...

    def weight(self, sample: Sample) -> Tensor:
        """Return what a prepared batch counts in the mean of several batches' losses: a scalar, at least 0.

        The loss of a whole batch is the mean of its parts' losses by this weight, whatever the parts.
        """
        ...

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        """Return the weighted terms of the loss on raw outputs ``(N, C, H, W)`` and a prepared batch.

        Their sum is minimised.
        """
        ...

    def critic(self) -> nn.Module | None:
        """Return a fresh critic for adversarial training, or None. It is in checkpoints, never in bundles."""
        ...

    def critic_loss(self, critic: nn.Module, output: Tensor, sample: Sample) -> Tensor:
        """Return the critic's own loss; `output` comes detached."""
        ...

    def scores(self) -> Scores:
        """Return fresh accumulators for `metrics`."""
        ...

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Fit the trivial baseline on (unbatched, prepared) training samples; it answers prepared batches."""
        ...

    def to_input(self, image: Image.Image) -> Tensor:
        """Turn a photo into the network's input ``(3, H, W)``, float32 in [0, 1].

        Args:
            image: A picture as Pillow holds it, of any mode; it is made what its file would be read as
                (`stencilnet.tasks.images.upright_rgb`).

        Raises:
            ImageError: If its pixels cannot be read, or have no known range of values.
        """
        ...


@runtime_checkable
class PictureTask(Task, Protocol):
    """A task whose output is a picture. Ask by ``isinstance``."""

    def to_image(self, output: Tensor, image: Tensor) -> Image.Image:
        """Turn one raw output ``(C, H, W)`` and its input ``(3, H, W)`` into a picture (RGB, or indexed)."""
        ...

    def target_image(self, sample: Sample) -> Image.Image | None:
        """Return what a perfect output of this sample (unbatched, prepared) looks like; None where nobody knows."""
        ...


@runtime_checkable
class LabelMapTask(PictureTask, Protocol):
    """A task that gives each pixel one of its classes, and is learned from label maps. Ask by ``isinstance``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices."""
        ...


@runtime_checkable
class DrawingTask(PictureTask, Protocol):
    """A task whose input is a drawing, which `to_input` makes of a photo. Ask by ``isinstance``."""

    def drawing_to_input(self, image: Image.Image) -> Tensor:
        """Turn a picture that is a drawing already into the network's input ``(3, H, W)``, float32 in [0, 1]."""
        ...


@runtime_checkable
class LabelTask(Task, Protocol):
    """A task whose output is a label of the whole image, and so makes no pictures. Ask by ``isinstance``.

    It is learned over a classifier (VGG16). Its `to_input` brings a photo to the network as the view of its data does,
    so that both must have the same `resize` and `crop`.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices; empty where the data are to name them."""
        ...

    @property
    def resize(self) -> int | None:
        """Shorter side that a photo is brought to, in pixels; None keeps its size."""
        ...

    @property
    def crop(self) -> int:
        """Side of the photo's centre that the network sees, in pixels."""
        ...

    def with_classes(self, classes: tuple[str, ...]) -> "LabelTask":
        """Return this task with other names of its classes."""
        ...

    def to_label(self, output: Tensor) -> list[tuple[str, float]]:
        """Turn one raw output ``(K,)`` into classes and their probabilities, the likeliest first."""
        ...
