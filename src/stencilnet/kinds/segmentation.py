"""Semantic segmentation: predicts class logits for each pixel of an RGB image (the paper, Tasks 1 and 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from stencilnet.kinds.kind import PhotoInput, Traits, class_rules
from stencilnet.pictures.images import Floats
from stencilnet.pictures.labels import VOID
from stencilnet.text.fields import Rule, check_fields
from stencilnet.text.shortening import listed

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class SegmentationKind(PhotoInput):
    """Assigns a class to every pixel.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    kind: ClassVar[str] = "segmentation"
    traits: ClassVar[Traits] = Traits(
        category="semantic segmentation",
        output="class scores",
        raw="a logit for each of the classes in `settings`; the largest is the pixel's class",
        loss="cross-entropy",
        logits=True,
        scaling="output",
    )
    learner: ClassVar[str] = "stencilnet.tasks.segmentation:Segmentation"

    classes: tuple[str, ...]
    """Names of the K classes in the order of their indices, including the background; K is 2 to 255."""

    palette: tuple[Colour, ...] = ()
    """Colour of each class in pictures, (R, G, B) in 0-255; if empty, PASCAL VOC's colour map."""

    def __post_init__(self) -> None:
        check_fields(*self._rules(), owner="segmentation's")
        # JSON has no tuples.
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "palette", tuple((red, green, blue) for red, green, blue in self.palette))

    def _rules(self) -> list[Rule]:
        return [*class_rules(self.classes, VOID), *_palette_rules(self.palette, len(self.classes))]

    @property
    def channels(self) -> int:
        """One logit per class."""
        return len(self.classes)

    def settings(self) -> dict[str, Any]:
        """Classes and their colours."""
        return {"classes": list(self.classes), "palette": [list(colour) for colour in self._colours()]}

    def to_image(self, output: Floats, image: Floats) -> Image.Image:  # noqa: ARG002
        """Return the most probable classes as an indexed picture: class indices with the palette of the colours."""
        return self.indexed(output.argmax(axis=0))

    def indexed(self, label: npt.NDArray[np.integer]) -> Image.Image:
        """Return class indices ``(H, W)`` in 0-255 as an indexed picture with the palette of the colours."""
        picture = Image.fromarray(label.astype(np.uint8))
        colours = [*self._colours(), *(voc_colour(index) for index in range(self.channels, 256))]
        picture.putpalette([level for colour in colours for level in colour])
        return picture

    def _colours(self) -> tuple[Colour, ...]:
        return self.palette or tuple(voc_colour(index) for index in range(self.channels))


def voc_colour(index: int) -> Colour:
    """Return the colour of an index (0-255) in PASCAL VOC's colour map, which spreads its bits over R, G and B."""
    levels = [0, 0, 0]
    for bit in range(8):
        levels[bit % 3] |= ((index >> bit) & 1) << (7 - bit // 3)
    return levels[0], levels[1], levels[2]


def _palette_rules(palette: Sequence[Colour], classes: int) -> list[Rule]:
    one_each = f"to have a colour for each of the {classes} classes or to be empty, but got {len(palette)}"
    wrong = [colour for colour in palette if len(colour) != 3 or not all(0 <= level <= 255 for level in colour)]
    return [
        ("palette", len(palette) in (0, classes), one_each),
        ("palette", not wrong, f"to hold (R, G, B) in 0-255, but got {listed(map(str, wrong))}"),
    ]
