"""The two label spaces of the scenes: all classes ("fine"), and merged classes ("coarse")."""

from dataclasses import dataclass
from enum import IntEnum


class Fine(IntEnum):
    """Indices of the classes of the scenes."""

    BACKGROUND = 0
    SKY = 1
    GRASS = 2
    SAND = 3
    ROAD = 4
    WATER = 5
    TREE = 6
    BUSH = 7
    HOUSE = 8
    FENCE = 9
    BOAT = 10
    CAR = 11
    PERSON = 12
    ANIMAL = 13
    BALLOON = 14
    PARASOL = 15


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """A set of classes, their colours, and their mapping from the fine labels.

    Raises:
        ValueError: If the palette does not have one colour per class, or `from_fine` not one class per fine class.
    """

    name: str
    """Name of the space."""
    classes: tuple[str, ...]
    """Name of each class; class 0 is the background."""
    palette: tuple[tuple[int, int, int], ...]
    """RGB colour (0-255) of each class, for pictures of label maps."""
    from_fine: tuple[int, ...]
    """Class in this space of each fine class."""

    def __post_init__(self) -> None:
        if len(self.palette) != len(self.classes):
            raise ValueError(
                f"Label space {self.name!r}: expected one palette colour per class ({len(self.classes)}), "
                f"but got {len(self.palette)}. Add or remove colours."
            )
        if len(self.from_fine) != len(Fine) or not set(self.from_fine) <= set(range(len(self.classes))):
            raise ValueError(
                f"Label space {self.name!r}: expected `from_fine` to give a class in 0..{len(self.classes) - 1} "
                f"for each of the {len(Fine)} fine classes, but got {self.from_fine}. Correct the table."
            )


_FINE = LabelSpace(
    name="fine",
    classes=tuple(label.name.lower() for label in Fine),
    palette=(
        (40, 40, 48),
        (152, 200, 240),
        (124, 186, 86),
        (236, 214, 150),
        (128, 124, 132),
        (56, 128, 196),
        (34, 110, 62),
        (190, 214, 60),
        (178, 84, 60),
        (150, 104, 62),
        (244, 246, 250),
        (226, 46, 58),
        (250, 170, 120),
        (110, 70, 150),
        (246, 196, 40),
        (236, 110, 178),
    ),
    from_fine=tuple(range(len(Fine))),
)

_COARSE = LabelSpace(
    name="coarse",
    classes=("background", "plant", "building", "vehicle", "person", "animal", "toy"),
    palette=(
        (40, 40, 48),
        (56, 140, 70),
        (178, 84, 60),
        (226, 46, 58),
        (250, 170, 120),
        (110, 70, 150),
        (246, 196, 40),
    ),
    from_fine=(0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 3, 3, 4, 5, 6, 6),
)

SPACES: dict[str, LabelSpace] = {space.name: space for space in (_FINE, _COARSE)}
"""The label spaces by name. "coarse" and "fine" correspond to VOC and COCO in the paper, Table 1."""
