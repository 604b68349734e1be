"""Image classification: the tasks of the original Piggyback (Mallya et al. 2018; the paper, Fig. 14)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from stencilnet.kinds.kind import Traits, refuse
from stencilnet.pictures.images import Floats, unit_image


@dataclass(frozen=True, kw_only=True)
class ClassificationKind:
    """Assigns a whole image to one of K classes. Its answer is a label, not a picture; see `to_label`.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    kind: ClassVar[str] = "classification"
    traits: ClassVar[Traits] = Traits(
        category="classification",
        output="class",
        loss="cross-entropy",
        logits=True,
        scaling="label",
        former=("resize", "crop"),
    )
    learner: ClassVar[str] = "stencilnet.tasks.classification:Classification"

    classes: tuple[str, ...] = ()
    """Names of the K classes in the order of their indices. If empty, a config takes them from `class_folders` data."""

    def __post_init__(self) -> None:
        refuse(self.kind, _class_problems(self.classes) if self.classes else [])
        object.__setattr__(self, "classes", tuple(self.classes))  # JSON knows no tuples

    @property
    def channels(self) -> int:
        """One logit per class."""
        return len(self.classes)

    def settings(self) -> dict[str, Any]:
        """Class names."""
        return {"classes": list(self.classes)}

    def to_input(self, image: Image.Image) -> Floats:
        """Return the photo itself, ``(3, H, W)`` in [0, 1]."""
        return unit_image(image)

    def to_label(self, output: Floats) -> list[tuple[str, float]]:
        """Return every class with its probability, the most probable first."""
        shares = np.exp(output - output.max())
        probabilities = shares / shares.sum()
        order = np.argsort(-probabilities, kind="stable")
        return [(self.classes[index], float(probabilities[index])) for index in order]


def _class_problems(classes: Sequence[str]) -> list[str]:
    twice = sorted(name for name, count in Counter(classes).items() if count > 1)
    return [
        *([] if len(classes) >= 2 else [f"`classes` should name at least 2 classes, got {len(classes)}"]),
        *([] if all(classes) else ["`classes` should have no empty name"]),
        *([f"`classes` should not repeat names, got more than one {', '.join(map(repr, twice))}"] if twice else []),
    ]
