"""The interface of a task kind for those who run its tasks: settings, input, answer, and words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from PIL import Image

from stencilnet.pictures.images import Floats, unit_image
from stencilnet.text.fields import Rule
from stencilnet.text.shortening import listed


@dataclass(frozen=True, kw_only=True)
class Traits:
    """Properties of all tasks of a kind, as plain data.

    Attributes:
        category: The kind in words, for tables of tasks such as the paper's Table 1.
        input: The network's input, in words.
        output: The network's output, in words.
        raw: The values of the raw output, in words that suffice to make the answer from them; for those who run an
            exported graph by themselves. Default: `output`.
        loss: The loss, in words.
        logits: Whether raw outputs are class logits rather than values.
        damage: Whether tasks may be learned from clean images that `view.damage` damages.
        mirror: Why `view.flip` must not mirror examples, as a clause; empty if it may.
        scaling: What is resized to the photo's size if the network sees the photo at the scale of training: the raw
            ``output``, and `to_image` then decides on it and on the full-size input (`to_input` has to work pixel by
            pixel), or the ``picture`` that `to_image` makes. ``label``: nothing, since the answer is a label; the
            network sees photos as a test does, resized and cropped. By default ``native``: photos keep their own size.
        former: Settings that older bundles hold and that are in the view of a task's recipe now, under the same names.
            Such a bundle's values have priority.
    """

    category: str
    input: str = "RGB"
    output: str = "RGB"
    raw: str = ""
    loss: str
    logits: bool = False
    damage: bool = False
    mirror: str = ""
    scaling: Literal["output", "picture", "label", "native"] = "native"
    former: tuple[str, ...] = ()


class Kind(Protocol):
    """A task kind with the settings that inputs and answers depend on: a frozen dataclass.

    Its answer is either a picture or a label: see `PictureKind` and `LabelKind`.

    Attributes:
        kind: Name of the kind in configs and bundles.
    """

    kind: ClassVar[str]

    @property
    def channels(self) -> int:
        """Output channels of the head."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return the settings that inputs and outputs depend on, as JSON data.

        ``kind_from_record(kind, settings)`` gives the same inputs and outputs.
        """
        ...

    def to_input(self, image: Image.Image) -> Floats:
        """Convert a photo to the network's input ``(3, H, W)``, float32 in [0, 1].

        Args:
            image: A Pillow picture of any mode; it is converted as its file would be
                (`stencilnet.pictures.images.upright_rgb`).

        Raises:
            ImageError: If its pixels cannot be read, or have no known range of values.
        """
        ...


@runtime_checkable
class PictureKind(Kind, Protocol):
    """A kind whose answer is a picture. Check with ``isinstance``."""

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        """Convert one raw output ``(C, H, W)`` and its input ``(3, H, W)`` to a picture (RGB or indexed).

        It has to work row by row: bands of a large picture's rows are converted one after the other.
        """
        ...


@runtime_checkable
class RgbKind(PictureKind, Protocol):
    """A kind whose answer is RGB computed as floats, which can be given with 16 bits. Check with ``isinstance``."""

    def to_rgb(self, output: Floats, image: Floats) -> Floats:
        """Return the answer as RGB ``(3, H, W)``; `to_image` clamps it to [0, 1] and rounds it to 8 bits."""
        ...


@runtime_checkable
class MapKind(PictureKind, Protocol):
    """A kind whose answer is a gray map, which can be given with 16 bits. Check with ``isinstance``."""

    def to_map(self, output: Floats, image: Floats) -> Floats:
        """Convert one raw output ``(C, H, W)`` and its input ``(3, H, W)`` to the map ``(H, W)``, in [0, 1]."""
        ...


@runtime_checkable
class RgbInput(Kind, Protocol):
    """A kind whose input keeps a photo's depth. Check with ``isinstance``."""

    def rgb_to_input(self, photo: Floats) -> Floats:
        """Convert a photo ``(3, H, W)`` in [0, 1] to the network's input, as `to_input` does with its picture."""
        ...


@runtime_checkable
class DrawingKind(PictureKind, Protocol):
    """A kind whose input is a drawing, which `to_input` makes from a photo. Check with ``isinstance``."""

    def drawing_to_input(self, image: Image.Image) -> Floats:
        """Convert a picture that is already a drawing to the network's input ``(3, H, W)``, float32 in [0, 1]."""
        ...


@runtime_checkable
class LabelKind(Kind, Protocol):
    """A kind whose answer is a label of the whole image, not a picture. Check with ``isinstance``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices."""
        ...

    def to_label(self, output: Floats) -> list[tuple[str, float]]:
        """Convert one raw output ``(K,)`` to classes and their probabilities, the most probable first."""
        ...


class DeclaredKind(Kind, Protocol):
    """A kind as the registry lists it, `stencilnet.kinds.catalog`.

    Its class may name, as the text ``learner``, the class that learns its tasks (``my_package.learning:Negative``), a
    subclass of it. That class may need PyTorch: it is imported only to learn. A class without a ``learner`` learns its
    tasks itself.

    Attributes:
        traits: Properties of all tasks of the kind.
    """

    traits: ClassVar[Traits]


class PhotoInput:
    """The input of a kind whose network sees the photo itself."""

    def to_input(self, image: Image.Image) -> Floats:
        """Return the photo, ``(3, H, W)`` in [0, 1]."""
        return unit_image(image)

    def rgb_to_input(self, photo: Floats) -> Floats:
        """Return the photo, ``(3, H, W)`` in [0, 1]."""
        return photo


def class_rules(classes: Sequence[str], most: int | None = None) -> list[Rule]:
    """Return the rules of the setting `classes`, for `check_fields`.

    Args:
        classes: Names of classes.
        most: Largest number of classes. Default: no limit.
    """
    twice = sorted(name for name, count in Counter(classes).items() if count > 1)
    count = f"2 to {most}" if most else "at least 2"
    return [
        ("classes", 2 <= len(classes) <= (most or len(classes)), f"to name {count} classes, but got {len(classes)}"),
        ("classes", all(classes), "to have no empty name"),
        ("classes", not twice, f"to have no name twice, but got more than one {listed(map(repr, twice))}"),
    ]
