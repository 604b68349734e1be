"""Semantic segmentation: predicts class logits for each pixel of an RGB image (the paper, Tasks 1 and 2)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.kinds.segmentation import SegmentationKind
from stencilnet.pictures.labels import VOID
from stencilnet.tasks.checks import indices_of, label_of, photo_of, unit
from stencilnet.tasks.inventory import Inventory
from stencilnet.tasks.metrics import BoundaryF1, Confusion
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Sample
from stencilnet.text.fields import Rule

_BOUNDARY = 1
"""Index of the boundary class in a boundary task."""


@dataclass(frozen=True, kw_only=True)
class Segmentation(SegmentationKind, Plain):
    """Assigns a class to every pixel: cross-entropy on logits ``(N, K, H, W)``, ignoring void pixels.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    class_weights: tuple[float, ...] = ()
    """Weight of each class's pixels in the loss; if empty, all are 1."""

    boundary_tolerance: int | None = None
    """Tolerance in pixels of boundary F1, which becomes the first metric. Only for two classes: not boundary, boundary.
    By default it is not reported."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "class_weights", tuple(self.class_weights))  # JSON has no tuples

    def _rules(self) -> list[Rule]:
        return [
            *super()._rules(),
            *_weight_rules(self.class_weights, len(self.classes)),
            *_tolerance_rules(self.boundary_tolerance, len(self.classes)),
        ]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Boundary F1, if a tolerance is set, mean intersection over union and pixel accuracy; all in percent."""
        iou = Metric(
            name="mIoU",
            higher_is_better=True,
            note=(
                f"%, {self.channels} classes, one confusion matrix over the split, void left out, "
                "classes in neither labels nor predictions left out"
            ),
        )
        accuracy = Metric(name="pixel_accuracy", higher_is_better=True, note="%, void left out")
        if self.boundary_tolerance is None:
            return iou, accuracy
        note = f"%, within {self.boundary_tolerance} px, over the split, lines not thinned"
        return Metric(name="boundary_F1", higher_is_better=True, note=note), iou, accuracy

    @property
    def trivial(self) -> str:
        """The most frequent class."""
        return "majority"

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) and ``target`` (H, W), class indices or 255 for void; both uint8.

        Raises:
            ValueError: If labels are missing, or one is neither a class index nor 255.
        """
        self._check(example)
        return {"input": photo_of(example), "target": label_of(example)}

    def inventory(self) -> Inventory:
        """Labelled pixels of each class; training needs at least two classes."""
        masks = " For masks of 0 and 255 set the source's `threshold: 128`." if self.channels == 2 else ""
        return Inventory(
            unit="labelled pixels",
            things=self.classes,
            named=True,
            least=2,
            enough="labelled pixels of at least 2 classes",
            some="labelled pixels",
            rest=f"{VOID} (void)",
            remedy=f"Labels are indices: 0 is `{self.classes[0]}`, 1 is `{self.classes[1]}`.{masks}",
        )

    def count(self, example: Example) -> Tensor:
        """Return the number of pixels of each class, and last of void pixels."""
        label = self._check(example)
        counts = torch.bincount(label.flatten().long(), minlength=VOID + 1)
        return torch.cat([counts[: self.channels], counts[VOID:]])

    def _check(self, example: Example) -> Tensor:
        """Return an example's labels, all of which must be class indices or void."""
        label = indices_of(example)
        wrong = label[(label >= self.channels) & (label != VOID)]
        if wrong.numel():
            raise ValueError(
                f"Example `{example.name}`: expected labels to be indices below {self.channels} "
                f"({self.classes[0]} ... {self.classes[-1]}) or {VOID} (void), but got {int(wrong[0])} in "
                f"{wrong.numel()} of {label.numel()} pixels (the first such value). Map the labels to these classes, "
                "name the missing classes, or set the values to void."
            )
        return label

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) in [0, 1] and ``target`` (H, W) int64."""
        return {"input": unit(sample["input"]), "target": sample["target"].long()}

    def weight(self, sample: Sample) -> Tensor:
        """Return the number of labelled pixels, weighted by class."""
        target = sample["target"]
        return (self._weights(target)[target.where(target != VOID, 0)] * (target != VOID)).sum()

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Cross-entropy, the weighted mean over labelled pixels; 0 if all pixels are void."""
        target = sample["target"]
        # Reduced here: PyTorch's own reduction is NaN without labelled pixels and not reproducible on GPUs.
        per_pixel = F.cross_entropy(output.float(), target, self._weights(output), ignore_index=VOID, reduction="none")
        total = self.weight(sample)
        return {"cross_entropy": per_pixel.sum() / total.where(total > 0, 1)}

    def scores(self) -> "SegmentationScores":
        """Return new accumulators."""
        return SegmentationScores(self.channels, self.boundary_tolerance)

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Predict the most frequent class of the training labels at every pixel.

        Raises:
            ValueError: If the training samples have no labelled pixels.
        """
        counts = torch.zeros(self.channels, dtype=torch.int64)
        for sample in training:
            target = sample["target"]
            counts += torch.bincount(target[target != VOID].cpu(), minlength=self.channels)
        if not counts.any():
            raise ValueError(
                "Expected labelled pixels to find the most frequent class, but the training samples have none."
            )
        return _constant(F.one_hot(counts.argmax(), self.channels).float())

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the labels as an indexed picture, 255 where void."""
        return self.indexed(sample["target"].numpy())

    def _weights(self, beside: Tensor) -> Tensor:
        return torch.tensor(self.class_weights or (1.0,) * self.channels, device=beside.device)


class SegmentationScores:
    """Accumulates the metrics of `Segmentation`.

    Args:
        classes: Number of classes.
        boundary_tolerance: The setting of the same name.
    """

    def __init__(self, classes: int, boundary_tolerance: int | None) -> None:
        self._confusion = Confusion(classes)
        self._boundary = None if boundary_tolerance is None else BoundaryF1(boundary_tolerance)

    def update(self, output: Tensor, sample: Sample) -> None:
        """Add a batch of logits ``(N, K, H, W)``."""
        predicted, label = output.argmax(dim=1), sample["target"]
        self._confusion.update(predicted, label)
        if self._boundary is not None:
            self._boundary.update(predicted == _BOUNDARY, label == _BOUNDARY, label != VOID)

    def compute(self) -> dict[str, float]:
        """Return the metrics by name.

        Raises:
            ValueError: If no labelled pixel was added.
        """
        scores = {"mIoU": self._confusion.mean_iou(), "pixel_accuracy": self._confusion.accuracy()}
        if self._boundary is None:
            return scores
        return {"boundary_F1": self._boundary.compute(), **scores}


def _constant(logits: Tensor) -> Callable[[Sample], Tensor]:
    def predict(sample: Sample) -> Tensor:
        images = sample["input"]
        count, _, height, width = images.shape
        return logits.to(images.device).view(1, -1, 1, 1).expand(count, -1, height, width)

    return predict


def _weight_rules(weights: Sequence[float], classes: int) -> list[Rule]:
    one_each = f"to have a weight for each of the {classes} classes or to be empty, but got {len(weights)}"
    usable = not weights or (all(isfinite(weight) and weight >= 0 for weight in weights) and any(weights))
    return [
        ("class_weights", len(weights) in (0, classes), one_each),
        ("class_weights", usable, f"to be finite, not negative and not all zero, but got {tuple(weights)}"),
    ]


def _tolerance_rules(tolerance: int | None, classes: int) -> list[Rule]:
    two = f"to be left out but for two classes (not boundary, boundary), but there are {classes}"
    return [
        ("boundary_tolerance", tolerance is None or tolerance >= 0, f"to be at least 0 px, but got {tolerance}"),
        ("boundary_tolerance", tolerance is None or classes == 2, two),
    ]
