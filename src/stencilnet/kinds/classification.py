"""Image classification: the tasks of the original Piggyback (Mallya et al. 2018; the paper, Fig. 14)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from stencilnet.kinds.kind import Traits, refuse
from stencilnet.pictures.images import Floats, unit_image, upright_rgb


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
        raw="a logit for each of the classes in `settings`; their softmax is the probabilities",
        loss="cross-entropy",
        logits=True,
    )
    learner: ClassVar[str] = "stencilnet.tasks.classification:Classification"

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

    @property
    def channels(self) -> int:
        """One logit per class."""
        return len(self.classes)

    def settings(self) -> dict[str, Any]:
        """Class names, and how an input photo is resized and cropped."""
        return {"classes": list(self.classes), "resize": self.resize, "crop": self.crop}

    def to_input(self, image: Image.Image) -> Floats:
        """Return the centre of the photo, ``(3, crop, crop)`` in [0, 1], as in a test on centre crops.

        Pillow resizes as the data's views do, antialiased and bilinear, except that few bytes are rounded otherwise.
        """
        photo = upright_rgb(image)
        shorter = max(self.crop, self.resize or min(photo.size))
        width, height = (max(1, round(side * shorter / min(photo.size))) for side in photo.size)
        left, top = (width - self.crop) // 2, (height - self.crop) // 2
        resized = photo.resize((width, height), Image.Resampling.BILINEAR)
        return unit_image(resized.crop((left, top, left + self.crop, top + self.crop)))

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
