"""From a picture to a task's input, and from the raw output to the answer: sizes, opacity, colour profile."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from math import isfinite
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from stencilnet.bundle import TaskRecord
from stencilnet.kinds.catalog import traits_of
from stencilnet.kinds.kind import DrawingKind, Kind, MapKind, PictureKind, RgbInput, RgbKind
from stencilnet.memory import TooLargeError
from stencilnet.pictures.colours import in_profile
from stencilnet.pictures.deep import TOP, Deep
from stencilnet.pictures.deep_output import resized_deep, to_deep, to_deep_gray, with_opacity
from stencilnet.pictures.images import Floats, Photo, Source, name_of, read_photo

logger = logging.getLogger(__name__)

Scale: TypeAlias = Literal["trained", "native"] | float
"""Size at which a network sees a picture: the one its task was learned at, the picture's own, or a multiple of that."""

Profile: TypeAlias = Literal["srgb", "original"]
"""Colour profile of an answer."""

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

Made: TypeAlias = Image.Image | Deep
"""An answer: a picture of Pillow's, or RGB of 16 bits, which Pillow has no mode for."""

Pictured: TypeAlias = Callable[[Floats, Floats], Made]
"""Makes a picture of a raw output ``(C, H, W)`` and its input ``(3, H, W)``."""

_BAND = 1 << 24
"""Values of a raw output that are decided at once (64 MiB), to bound memory."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A picture made ready for a task.

    Attributes:
        photo: The picture as it was read.
        input: The network's input, ``(3, H, W)`` float32 in [0, 1].
        resized: Whether the network sees the picture at another size than its own.
    """

    photo: Photo
    input: Floats
    resized: bool


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form in which an answer is given.

    Attributes:
        bits: Bits per channel, 8 or 16; 16 for tasks whose answer is RGB (`RgbKind`) or a gray map (`MapKind`).
        profile: Colour profile of pictures in RGB: ``srgb``, or ``original``, the one that the photo had if that is of
            RGB; with 8 bits.

    Raises:
        ValueError: If a value is none of these.
    """

    bits: int = 8
    profile: Profile = "srgb"

    def __post_init__(self) -> None:
        if self.profile not in ("srgb", "original"):
            raise ValueError(f"Expected `profile` to be srgb or original, but got {self.profile!r}.")
        if self.bits not in (8, 16):
            raise ValueError(f"Expected `bits` to be 8 or 16, but got {self.bits!r}.")

    def check(self, task: Kind) -> None:
        """Check that a task's answer can have this form.

        Raises:
            ValueError: If not.
        """
        if self.bits == 16 and not isinstance(task, RgbKind | MapKind):
            raise ValueError(
                f"Expected 8 bits for {task.kind} tasks, but got 16. Only pictures in RGB and gray maps have 16 bits, "
                "label maps do not."
            )
        if self.bits == 16 and self.profile == "original" and not isinstance(task, MapKind):
            raise ValueError(
                "Expected the profile srgb with 16 bits, but got original. Colours are converted with 8 bits alone."
            )


PLAIN = Form()
"""8 bits per channel, in sRGB."""


def sizing(task: Kind, recipe: Mapping[str, Any], scale: Scale) -> Callable[[Size], Size]:
    """Return the function from a picture's size to the size at which a task's network sees it.

    Args:
        task: The task.
        recipe: How it was learned (`TaskRecord.recipe`). Its `view.resize` is the trained scale, the length of the
            shorter side. Without one, and for kinds whose `Traits.scaling` is ``native``, pictures keep their size.
        scale: ``trained``, ``native``, or a factor above 0.

    Raises:
        ValueError: If `scale` is none of these, or a factor other than 1 for a kind that runs at the picture's size.
    """
    own = traits_of(task.kind).scaling == "native"
    if scale == "native":
        return _kept
    if scale == "trained":
        side = trained_side(task, recipe)
        return _kept if side is None else partial(_with_shorter, side)
    if not isinstance(scale, float | int) or not (isfinite(scale) and scale > 0):
        raise ValueError(f"Expected `scale` to be trained, native or a factor above 0, but got {scale!r}.")
    if own and scale != 1:
        raise ValueError(
            f"Expected `scale` to be trained or native, since {task.kind} tasks always run at the picture's own size, "
            f"but got {scale:g}."
        )
    return partial(_times, scale)


def label_view(record: TaskRecord) -> tuple[Callable[[Size], Size], int | None]:
    """Return how a task that gives labels sees a picture: as its test did, by `view.resize`, `view.crop`, `view.test`.

    Args:
        record: The task's record. Settings of `Traits.former`, which older bundles have, replace its view's values, and
            always mean a crop. Pictures for kinds whose `Traits.scaling` is not ``label`` keep their size.

    Returns:
        The function from a picture's size to that at which it is seen, and the side of the centre crop of that; None if
        it is seen as a whole.
    """
    traits = traits_of(record.kind)
    if traits.scaling != "label":
        return _kept, None
    former = {name: record.settings[name] for name in traits.former if name in record.settings}
    view = {**_view(record.recipe), **former}
    side, crop = _length(view, "resize"), _length(view, "crop") if former or view.get("test") == "crop" else None
    return lambda size: _with_shorter(max(crop or 1, side or min(size)), size), crop


def prepare(
    task: Kind,
    source: Source,
    size: Callable[[Size], Size],
    *,
    crop: int | None = None,
    drawing: bool = False,
    metadata: bool = False,
) -> Given:
    """Read a picture and make a task's input of it.

    Args:
        task: The task.
        source: The picture.
        size: The function that `sizing` returns, or `label_view`.
        crop: Side of the centre crop that the network sees, at most the shorter side of `size`. Default: all of it.
        drawing: Whether the picture is a drawing already, for tasks that otherwise make one. Default False.
        metadata: Whether to read the metadata that may be kept. Default False.

    Raises:
        ImageError: If the picture cannot be read.
        TooLargeError: If the network's picture would have more than ``PIL.Image.MAX_IMAGE_PIXELS``.
        ValueError: If the task takes no drawing.
    """
    if drawing:
        check_drawing(task)
    photo = read_photo(source, metadata=metadata, deep=True)
    return given_of(task, photo, size, crop=crop, drawing=drawing, name=name_of(source))


def check_drawing(task: Kind) -> None:
    """Check that a task's input can be a drawing.

    Raises:
        ValueError: If it cannot.
    """
    if not isinstance(task, DrawingKind):
        raise ValueError(f"Expected a task that takes drawings (edges2photo), but got a {task.kind} task.")


def given_of(
    task: Kind,
    photo: Photo,
    size: Callable[[Size], Size],
    *,
    crop: int | None = None,
    drawing: bool = False,
    name: str = "the picture",
) -> Given:
    """Make a task's input of a picture that is read already; several tasks may share it.

    The network sees all bits of a picture at its own size, and 8 of a picture that is resized for it.

    Args:
        task: The task.
        photo: The picture.
        size: The function that `sizing` returns, or `label_view`.
        crop: Side of the centre crop that the network sees, at most the shorter side of `size`. Default: all of it.
        drawing: Whether the picture is a drawing already; the task must take one. Default False.
        name: The picture's name for messages.

    Raises:
        TooLargeError: If the network's picture would have more than ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    wanted = size(photo.rgb.size)
    resized = wanted != photo.rgb.size
    limit = Image.MAX_IMAGE_PIXELS
    if resized and limit is not None and wanted[0] * wanted[1] > limit:
        raise TooLargeError(
            f"{name} would have {wanted[0]}x{wanted[1]} pixels for the network (the limit is {limit}). "
            "Choose a smaller scale, or native."
        )
    # As the data's views do, antialiased and bilinear, except that few bytes are rounded otherwise.
    seen = photo.rgb.resize(wanted, Image.Resampling.BILINEAR) if resized else photo.rgb
    if crop is not None:
        left, top = ((side - crop) // 2 for side in wanted)
        seen = seen.crop((left, top, left + crop, top + crop))
    if drawing and isinstance(task, DrawingKind):
        given = task.drawing_to_input(seen)
    else:
        given = _own_input(task, photo) if seen is photo.rgb else task.to_input(seen)
    return Given(photo=photo, input=given, resized=resized)


def _own_input(task: Kind, photo: Photo, rows: slice | None = None) -> Floats:
    """Return a task's input for a photo at its own size, or for some of its rows, of all bits that were read."""
    if photo.deep is not None and isinstance(task, RgbInput):
        levels = photo.deep if rows is None else photo.deep[rows]
        return task.rgb_to_input(np.divide(levels.transpose(2, 0, 1), TOP, dtype=np.float32, order="C"))
    whole = photo.rgb
    return task.to_input(whole if rows is None else whole.crop((0, rows.start, whole.width, rows.stop)))


def answer(task: PictureKind, output: Floats, given: Given, form: Form = PLAIN, what: str = "the picture") -> Made:
    """Return a task's answer at the picture's size.

    It is RGB with a colour profile and the picture's opacity; indexed; 16-bit gray (mode ``I;16``); or an array of RGB
    with 16 bits, in sRGB and with the picture's opacity.

    Args:
        task: The task.
        output: The raw output ``(C, H, W)`` for ``given.input``.
        given: The picture.
        form: The answer's form, which the task has (`Form.check`). Default: `PLAIN`.
        what: Name of the picture for messages.
    """
    if form.bits == 16 and given.photo.shallow:
        _warn(what, given.photo.shallow)
    picture, alpha = _at_size(task, output, given, _pictured(task, form)), given.photo.alpha
    if isinstance(picture, np.ndarray):
        return picture if alpha is None else with_opacity(picture, alpha)
    if picture.mode == "RGB":
        picture = in_profile(picture, given.photo.profile if form.profile == "original" else b"", what)
        if alpha is not None and alpha.size == picture.size:
            picture.putalpha(alpha)
    return picture


@lru_cache(maxsize=1024)
def _warn(what: str, reason: str) -> None:
    """Warn, once for each picture's name, that less than asked for is in an answer of 16 bits."""
    logger.warning("%s: its pixels of 16 bits are read with 8 bits, since %s.", what, reason)


def _pictured(task: PictureKind, form: Form) -> Pictured:
    """Return the function that makes a task's picture of its raw output and its input."""
    if form.bits == 16 and isinstance(task, MapKind):
        gray = task.to_map
        return lambda output, image: to_deep_gray(gray(output, image))
    if form.bits == 16 and isinstance(task, RgbKind):
        rgb = task.to_rgb
        return lambda output, image: to_deep(rgb(output, image))
    return task.to_image


def _at_size(task: PictureKind, output: Floats, given: Given, pictured: Pictured) -> Made:
    if given.resized and traits_of(task.kind).scaling == "output":
        return _decided(task, output, given.photo, pictured)
    height, width = output.shape[1:]
    picture = _in_bands((width, height), len(output), lambda rows: pictured(output[:, rows], given.input[:, rows]))
    if not given.resized:
        return picture
    if isinstance(picture, np.ndarray):
        return resized_deep(picture, given.photo.rgb.size)
    how = Image.Resampling.BICUBIC if picture.mode == "RGB" else Image.Resampling.NEAREST
    return picture.resize(given.photo.rgb.size, how)


def _decided(task: PictureKind, output: Floats, photo: Photo, pictured: Pictured) -> Made:
    """Resize a raw output to a photo's size and decide every pixel there."""
    (width, height), (channels, low, across) = photo.rgb.size, output.shape
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in output]

    def band(rows: slice) -> Made:
        box = (0, rows.start * low / height, across, rows.stop * low / height)
        size = (width, rows.stop - rows.start)
        values = [np.asarray(plane.resize(size, Image.Resampling.BILINEAR, box=box)) for plane in planes]
        return pictured(np.stack(values), _own_input(task, photo, rows))

    return _in_bands(photo.rgb.size, channels, band)


def _in_bands(size: Size, channels: int, band: Callable[[slice], Made]) -> Made:
    """Return a picture that is made in bands of rows, so that only one band's arrays are in memory at once.

    Args:
        size: Width and height of the picture.
        channels: Of the raw output.
        band: Makes the band of some rows.
    """
    width, height = size
    most = max(1, _BAND // (channels * width))
    first = band(slice(0, min(most, height)))
    if most >= height:
        return first
    further = [slice(top, min(top + most, height)) for top in range(most, height, most)]
    if isinstance(first, np.ndarray):
        return np.concatenate([first, *(np.asarray(band(rows)) for rows in further)])
    whole = first.resize(size, Image.Resampling.NEAREST)  # its mode and palette
    whole.paste(first, (0, 0))
    for rows in further:
        part = band(rows)
        assert isinstance(part, Image.Image)  # like the first
        whole.paste(part, (0, rows.start))
    return whole


def trained_side(task: Kind, recipe: Mapping[str, Any]) -> int | None:
    """Return the shorter side at which a task's network sees pictures; None if it sees them at their own size."""
    return None if traits_of(task.kind).scaling == "native" else _length(_view(recipe), "resize")


def _view(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    view = recipe.get("view")
    return view if isinstance(view, Mapping) else {}


def _length(view: Mapping[str, Any], name: str) -> int | None:
    """Return a length in pixels of a view, which may hold any JSON; None if it has none."""
    length = view.get(name)
    return length if isinstance(length, int) and length >= 1 else None


def _kept(size: Size) -> Size:
    return size


def _with_shorter(side: float, size: Size) -> Size:
    """Return a size with a shorter side, rounded as the data's views do."""
    width, height = (max(1, round(length * side / min(size))) for length in size)
    return width, height


def _times(factor: float, size: Size) -> Size:
    return _with_shorter(factor * min(size), size)
