"""Image classification: the tasks of the original Piggyback (Mallya et al. 2018; the paper, Fig. 14)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stencilnet.kinds.kind import PhotoInput, Traits, class_rules
from stencilnet.pictures.images import Floats
from stencilnet.text.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class ClassificationKind(PhotoInput):
    """Assigns a whole image to one of K classes. Its answer is a label, not a picture; see `to_label`.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    kind: ClassVar[str] = "classification"
    traits: ClassVar[Traits] = Traits(
        category="classification",
        output="class",
        raw="a logit for each of the classes in `settings`; their softmax is the probabilities",
        loss="cross-entropy",
        logits=True,
        scaling="label",
        former=("resize", "crop"),
    )
    learner: ClassVar[str] = "stencilnet.tasks.classification:Classification"

    classes: tuple[str, ...] = ()
    """Names of the K classes in the order of their indices. If empty, a config takes them from `class_folders` data."""

    def __post_init__(self) -> None:
        if self.classes:
            check_fields(*class_rules(self.classes), owner="classification's")
        object.__setattr__(self, "classes", tuple(self.classes))  # JSON knows no tuples

    @property
    def channels(self) -> int:
        """One logit per class."""
        return len(self.classes)

    def settings(self) -> dict[str, Any]:
        """Class names."""
        return {"classes": list(self.classes)}

    def to_label(self, output: Floats) -> list[tuple[str, float]]:
        """Return every class with its probability, the most probable first."""
        shares = np.exp(output - output.max())
        probabilities = shares / shares.sum()
        order = np.argsort(-probabilities, kind="stable")
        return [(self.classes[index], float(probabilities[index])) for index in order]
