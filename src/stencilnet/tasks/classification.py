"""Image classification: the tasks of the original Piggyback (Mallya et al. 2018; the paper, Fig. 14)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.pictures.images import to_array, upright_rgb
from stencilnet.tasks.checks import photo_of, refuse, unit
from stencilnet.tasks.inventory import Inventory
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Recipe, Sample
from stencilnet.tasks.traits import Traits

_TOP = 5


@dataclass(frozen=True, kw_only=True)
class Classification(Plain):
    """Assigns a whole image to one of K classes: cross-entropy on logits ``(N, K)``.

    It needs a classifier, such as `stencilnet.VGG16`. Its output is a label, not a picture; see `to_label`.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    kind: ClassVar[str] = "classification"
    traits: ClassVar[Traits] = Traits(category="classification", output="class", loss="cross-entropy", logits=True)

    classes: tuple[str, ...] = ()
    """Names of the K classes in the order of their indices. If empty, a config takes them from `class_folders` data."""

    resize: int | None = 256
    """Shorter side, in pixels, to which an input photo is resized; none keeps its size. Must equal the view's."""

    crop: int = 224
    """Side of the centre crop of an input photo, in pixels. Must equal the view's."""

    def __post_init__(self) -> None:
        refuse(
            self.kind,
            [
                *(_class_problems(self.classes) if self.classes else []),
                *([] if self.crop >= 1 else [f"`crop` should be at least 1 px, got {self.crop}"]),
                *(
                    []
                    if self.resize is None or self.resize >= 1
                    else [f"`resize` should be at least 1 px or none, got {self.resize}"]
                ),
            ],
        )
        object.__setattr__(self, "classes", tuple(self.classes))  # JSON knows no tuples

    def with_classes(self, classes: tuple[str, ...]) -> "Classification":
        """Return this task with other class names."""
        return replace(self, classes=classes)

    @property
    def channels(self) -> int:
        """One logit per class."""
        return len(self.classes)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy, its mean over classes and, for more than five classes, top-5 accuracy; all in percent."""
        accuracy = Metric(name="accuracy", higher_is_better=True, note=f"%, top-1, {self.channels} classes")
        note = "%, mean of the top-1 accuracies of the single classes, classes without examples left out"
        balanced = Metric(name="class_accuracy", higher_is_better=True, note=note)
        if self.channels <= _TOP:
            return accuracy, balanced
        note = f"%, true class among the {_TOP} most probable"
        return accuracy, balanced, Metric(name="top5_accuracy", higher_is_better=True, note=note)

    @property
    def trivial(self) -> str:
        """The most frequent class."""
        return "majority"

    @classmethod
    def recipe(cls) -> Recipe:
        """Adam 1e-4, batch 32 (Mallya et al. 2018, Sec. 4); they use a step schedule, we use a cosine."""
        return Recipe(batch=32)

    def settings(self) -> dict[str, Any]:
        """Class names, and how an input photo is resized and cropped."""
        return {"classes": list(self.classes), "resize": self.resize, "crop": self.crop}

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) uint8 and ``target``, the class index as a scalar int64.

        Raises:
            ValueError: If the example has no class, or its class is not in `classes`.
        """
        return {"input": photo_of(example), "target": torch.tensor(self._category(example))}

    def inventory(self) -> Inventory:
        """Examples of each class; training needs at least two classes."""
        return Inventory(
            unit="examples",
            things=self.classes,
            named=True,
            least=2,
            enough="examples of at least 2 classes",
            some="examples",
            remedy="Add images of the other classes, or hold out fewer of them.",
        )

    def count(self, example: Example) -> Tensor:
        """Return 1 at the example's class and 0 elsewhere."""
        counts = torch.zeros(self.channels + 1, dtype=torch.int64)
        counts[self._category(example)] = 1
        return counts

    def _category(self, example: Example) -> int:
        if example.category is None:
            raise ValueError(
                f"Example `{example.name}`: expected a class, but it has none. "
                "Use data with classes (source `class_folders`)."
            )
        if not 0 <= example.category < self.channels:
            raise ValueError(
                f"Example `{example.name}`: expected its class to be an index below {self.channels} "
                f"({', '.join(self.classes[:_TOP]) or 'no classes are named'}), but got {example.category}. "
                "Name all classes of the data in `classes`."
            )
        return example.category

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) in [0, 1] and ``target``, int64."""
        return {"input": unit(sample["input"]), "target": sample["target"]}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Cross-entropy, the mean over examples.

        Raises:
            ValueError: If the network's output is not of shape (N, K).
        """
        return {"cross_entropy": F.cross_entropy(_logits(output).float(), sample["target"])}

    def scores(self) -> "ClassificationScores":
        """Return new accumulators."""
        return ClassificationScores(self.channels)

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Return the class frequencies of the training samples as logits, whatever the input.

        Raises:
            ValueError: If there are no training samples.
        """
        counts = torch.zeros(self.channels)
        for sample in training:
            counts[int(sample["target"])] += 1
        if not counts.any():
            raise ValueError("Expected training samples to find the most frequent class, but got none.")

        def predict(sample: Sample) -> Tensor:
            images = sample["input"]
            return counts.to(images.device).expand(len(images), -1)

        return predict

    def to_input(self, image: Image.Image) -> Tensor:
        """Return the centre of the photo, ``(3, crop, crop)`` in [0, 1], as in a test on centre crops."""
        pixels = torch.from_numpy(to_array(upright_rgb(image)))
        old = pixels.shape[-2:]
        shorter = max(self.crop, self.resize or min(old))
        new = [max(1, round(side * shorter / min(old))) for side in old]
        if new != list(old):
            # On bytes, bilinear and antialiased, as the data's views resize.
            pixels = F.interpolate(pixels.unsqueeze(0), new, mode="bilinear", antialias=True)[0]
        top, left = (new[0] - self.crop) // 2, (new[1] - self.crop) // 2
        return unit(pixels[:, top : top + self.crop, left : left + self.crop])

    def to_label(self, output: Tensor) -> list[tuple[str, float]]:
        """Return every class with its probability, the most probable first."""
        probabilities = output.float().softmax(dim=0)
        order = probabilities.argsort(descending=True, stable=True).tolist()
        return [(self.classes[index], float(probabilities[index])) for index in order]


class ClassificationScores:
    """Accumulates the metrics of `Classification`.

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._seen, self._right = torch.zeros(2, classes, dtype=torch.int64)
        self._top = 0

    def update(self, output: Tensor, sample: Sample) -> None:
        """Add a batch of logits ``(N, K)``."""
        logits, target = _logits(output).float().cpu(), sample["target"].cpu()
        classes = len(self._seen)
        # Stable, so that the first of equal logits wins on every device.
        order = logits.argsort(dim=1, descending=True, stable=True)
        self._seen += torch.bincount(target, minlength=classes)
        self._right += torch.bincount(target[order[:, 0] == target], minlength=classes)
        self._top += int((order[:, :_TOP] == target.unsqueeze(1)).sum())

    def compute(self) -> dict[str, float]:
        """Return the metrics by name.

        Raises:
            ValueError: If no batch was added.
        """
        total = int(self._seen.sum())
        if total == 0:
            raise ValueError("Expected labelled images to score, but got none. Use a split with examples.")
        occurring = self._seen > 0
        own = self._right[occurring] / self._seen[occurring]
        scores = {"accuracy": 100 * int(self._right.sum()) / total, "class_accuracy": 100 * float(own.mean())}
        return scores if len(self._seen) <= _TOP else {**scores, "top5_accuracy": 100 * self._top / total}


def _logits(output: Tensor) -> Tensor:
    if output.dim() != 2:
        raise ValueError(
            f"Expected a classifier's logits (N, K), but the network's output is of shape {tuple(output.shape)}. "
            "Use a classifier as backbone, such as VGG16."
        )
    return output


def _class_problems(classes: Sequence[str]) -> list[str]:
    twice = sorted(name for name, count in Counter(classes).items() if count > 1)
    return [
        *([] if len(classes) >= 2 else [f"`classes` should name at least 2 classes, got {len(classes)}"]),
        *([] if all(classes) else ["`classes` should have no empty name"]),
        *([f"`classes` should not repeat names, got more than one {', '.join(map(repr, twice))}"] if twice else []),
    ]
