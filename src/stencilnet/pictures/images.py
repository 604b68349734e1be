"""Reading and writing pictures: every stored form becomes upright RGB, or raises one clear error.

Embedded colour profiles are ignored; only the first frame of an animation or multi-page file is read.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from stencilnet.pictures.formats import FORMATS, open_image, unread

R = TypeVar("R")

Bytes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

WIDE_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
"""Pillow's modes of 16-bit gray; for some formats (PGM) Pillow uses 32-bit "I"."""
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})
"""Modes without transparency that Pillow converts to RGB by a fixed formula."""

_SUBFILE_TYPE = 254
"""TIFF's tag NewSubfileType; bit 0 marks a picture as a reduced version of another one in the file."""
_DNG_VERSION = 50706


class ImageError(ValueError):
    """A picture or label file cannot be read correctly; the message names the file, the reason and the remedy."""


def read_image(path: Path) -> Image.Image:
    """Read a picture as upright RGB, with the conversions of `upright_rgb`.

    The size limit is Pillow's own, ``PIL.Image.MAX_IMAGE_PIXELS``.

    Args:
        path: The picture's file.

    Returns:
        A picture of mode RGB.

    Raises:
        ImageError: If the file is missing, empty, truncated, too large, or not a picture with a known range of values.
    """
    with open_checked(path) as opened:
        upright = guarded(str(path), lambda: turned(opened), path)
        return _rgb(upright, str(path), _gray_of(opened))


def read_stored(path: Path) -> Image.Image:
    """Read a picture as RGB like `read_image`, but ignore its EXIF orientation.

    The orientation of a TIFF is still applied, by Pillow.

    Raises:
        ImageError: As `read_image`.
    """
    with open_checked(path) as opened:
        guarded(str(path), opened.load, path)
        return _rgb(opened, str(path), _gray_of(opened))


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow picture to upright RGB, bit-equal to `read_image` of its file.

    The EXIF orientation is applied; transparency is composited over white; palette, gray, CMYK (without a profile:
    ``R = (1 - C)(1 - K)``) and 16-bit gray (65535 becomes 255) are converted. A picture without an orientation, for
    example after ``ImageOps.exif_transpose``, counts as upright.

    Args:
        image: The picture. It is not changed, except that its pixels are loaded from its file if they were not yet.

    Returns:
        A picture of mode RGB; `image` itself if nothing has to change.

    Raises:
        ImageError: If its pixels cannot be read, are not loaded yet and their format is not supported, or have no
            known range of values.
    """
    what = "the picture"
    if isinstance(image, ImageFile.ImageFile):
        what = os.fsdecode(image.filename) or what
        if image.tile and image.format not in {*FORMATS, "MPO"}:
            raise ImageError(
                f"Cannot read {what}: it is {image.format}, which is not read (only {', '.join(sorted(FORMATS))} are). "
                "If you trust the file, call the picture's load() first."
            )
    upright = guarded(what, lambda: turned(image))
    return _rgb(upright, what, _gray_of(image))


def to_array(image: Image.Image) -> Bytes:
    """Convert an RGB picture to a new array ``(3, H, W)`` uint8, contiguous and writable, ignoring any orientation.

    Raises:
        ValueError: If the picture's mode is not RGB.
    """
    if image.mode != "RGB":
        raise ValueError(
            f"Expected argument `image` to be a picture of mode RGB, but got {image.mode}. "
            "Read files with `read_image`, and convert other pictures with `upright_rgb`, both of "
            "stencilnet.pictures.images."
        )
    return np.array(np.asarray(image).transpose(2, 0, 1), order="C")


def unit_image(image: Image.Image) -> Floats:
    """Convert any picture to ``(3, H, W)`` float32 in [0, 1], made upright RGB by `upright_rgb`.

    Raises:
        ImageError: As `upright_rgb`.
    """
    return np.divide(to_array(upright_rgb(image)), 255, dtype=np.float32)


def to_picture(array: npt.NDArray[np.floating]) -> Image.Image:
    """Convert an array ``(3, H, W)``, float RGB in [0, 1], to a picture of 8 bits per channel.

    Values outside [0, 1] are clamped.

    Raises:
        TypeError: If the array does not hold floats.
        ValueError: If the shape is wrong, or a value is not finite.
    """
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(
            f"Expected argument `array` to hold floats in [0, 1], but got {array.dtype}. Divide 8-bit values by 255."
        )
    if array.ndim != 3 or array.shape[0] != 3 or 0 in array.shape:
        raise ValueError(
            f"Expected argument `array` to be one RGB image (3, H, W), but got shape {array.shape}. "
            "Pass the images of a batch one by one."
        )
    values = array.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ValueError("Expected argument `array` to be finite, but got NaN or infinity. Check the network's output.")
    pixels = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def open_checked(path: Path) -> ImageFile.ImageFile:
    """Open a picture file without reading its pixels.

    Raises:
        ImageError: If it is not a picture, is too large, or would be misread by Pillow.
    """
    if not path.is_file():
        found = "it is not a file" if path.exists() else "there is no such file"
        raise ImageError(f"Cannot read {path}: {found}. Give the path of a picture.")
    opened = guarded(str(path), lambda: open_image(path), path)
    if Image.MAX_IMAGE_PIXELS is not None and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:
        opened.close()
        raise _too_large(str(path), f"{opened.width}x{opened.height} pixels")
    if (problem := guarded(str(path), lambda: _misread(opened, path), path)) is not None:
        opened.close()
        raise ImageError(f"Cannot read {path}: {problem}")
    return opened


def guarded(what: str, work: Callable[[], R], path: Path | None = None) -> R:
    """Run one of Pillow's readers, which raise almost any exception on damaged bytes.

    Args:
        what: Name of the picture for messages.
        work: The reader.
        path: The file, examined for a better message; None if `what` may not be a file.

    Raises:
        ImageError: If the reader raises any exception.
    """
    try:
        return work()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(what, str(error)) from error
    except MemoryError as error:
        raise _too_large(what, "its pixels do not fit in memory") from error
    except Exception as error:
        raise ImageError(f"Cannot read {what}: {_why(error, path)}") from error


def _misread(opened: ImageFile.ImageFile, path: Path) -> str | None:
    """Return why Pillow would misread the picture without an error; None if it reads it correctly."""
    if isinstance(opened, TiffImageFile):
        tags = opened.tag_v2
        if _DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE, 0)) & 1:
            return "it is a camera's raw file, and only its small preview can be read. Save it as PNG or JPEG."
    if opened.format == "BMP" and opened.tile[0].codec_name == "raw":
        with path.open("rb") as file:
            header = file.read(30)
        old = int.from_bytes(header[14:18], "little") == 12  # OS/2's header: sides of 2 bytes, not 4
        bits = int.from_bytes(header[24:26] if old else header[28:30], "little")
        # Pillow reads one bit per pixel for two grays and eight for more, whatever the header says.
        if bits != {"1": 1, "L": 8}.get(opened.mode, bits):
            return "Pillow misreads bitmaps with this gray palette. Save it as PNG in the program that made it."
    return None


def _why(error: Exception, path: Path | None) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}. Check the file's permissions and disk."
    if path is not None and path.stat().st_size == 0:
        return "the file is empty (0 bytes). Copy or download it again."
    if path is not None and (other := unread(path)) is not None:
        return f"{other}. Save it as PNG or JPEG."
    reason = f"its data cannot be decoded ({error})"
    if isinstance(error, UnidentifiedImageError):
        reason = f"it is none of {', '.join(sorted(FORMATS))}"
    remedy = "copy or download it again, or save it again as PNG or JPEG"
    return f"{reason}. The file is damaged or of another format: {remedy}."


def _too_large(what: str, found: str) -> ImageError:
    return ImageError(
        f"Cannot read {what}: the picture is too large ({found}; the limit is {Image.MAX_IMAGE_PIXELS} pixels). "
        "Save it smaller or, for files that you trust, raise PIL.Image.MAX_IMAGE_PIXELS."
    )


def turned(image: Image.Image) -> Image.Image:
    """Load a picture's pixels and return it with its EXIF orientation applied; itself if it is upright."""
    image.load()
    upright = image.getexif().get(ExifTags.Base.Orientation, 1) not in range(2, 9)
    return image if upright else ImageOps.exif_transpose(image)


class _Gray(NamedTuple):
    """How gray of more than 8 bits is stored: its largest value, and whether 0 is white."""

    largest: int = 65535
    white_is_zero: bool = False


def _gray_of(image: Image.Image) -> _Gray:
    """Return what a TIFF's tags say about its gray and Pillow ignores: a depth of 12 bits, and whether 0 is white."""
    if not isinstance(image, TiffImageFile):
        return _Gray()
    twelve = image.tag_v2.get(BITSPERSAMPLE) == (12,)
    return _Gray(4095 if twelve else 65535, image.tag_v2.get(PHOTOMETRIC_INTERPRETATION, 0) == 0)


def _rgb(image: Image.Image, what: str, gray: _Gray) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode in WIDE_MODES:
        return _narrow(image, what, gray).convert("RGB")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        return canvas.convert("RGB")
    if image.mode not in _PLAIN_MODES:
        raise ImageError(
            f"Cannot read {what}: pictures of Pillow mode {image.mode!r} have no known range of values. "
            "Save it as 8-bit RGB or as 8- or 16-bit gray."
        )
    return image.convert("RGB")


def _narrow(image: Image.Image, what: str, gray: _Gray) -> Image.Image:
    """Scale gray of more than 8 bits to 8 bits; the value that a PNG declares transparent becomes white."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > gray.largest:
        raise ImageError(
            f"Cannot read {what}: expected gray of at most 16 bits, but got values from {values.min()} to "
            f"{values.max()}, so the range is unknown. Save it as 8- or 16-bit gray."
        )
    shades = (values * 255 + gray.largest // 2) // gray.largest
    if gray.white_is_zero:
        shades = 255 - shades
    clear = image.info.get("transparency")
    return Image.fromarray(np.where(values == clear, 255, shades).astype(np.uint8))
