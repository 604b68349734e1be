"""Image classification: the tasks of the original Piggyback (Mallya et al. 2018; the paper, Fig. 14)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stencilnet.kinds.classification import ClassificationKind
from stencilnet.tasks.checks import photo_of, unit
from stencilnet.tasks.inventory import Inventory
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Recipe, Sample

_TOP = 5


@dataclass(frozen=True, kw_only=True)
class Classification(ClassificationKind, Plain):
    """Assigns a whole image to one of K classes: cross-entropy on logits ``(N, K)``.

    It needs a classifier, such as `stencilnet.VGG16`. Its output is a label, not a picture; see `to_label`.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    def with_classes(self, classes: tuple[str, ...]) -> "Classification":
        """Return this task with other class names."""
        return replace(self, classes=classes)

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
