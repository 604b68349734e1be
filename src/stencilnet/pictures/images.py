"""Reading pictures and making them: every stored form becomes upright sRGB, or raises one clear error.

Only the first frame of an animation or multi-page file is read. Pillow's pictures have 8 bits per channel: 16-bit gray
is rounded to them, and of 16-bit RGB they are the upper 8. `read_photo` reads all 16 bits, too, where it is asked to.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from stencilnet.pictures.colours import in_srgb
from stencilnet.pictures.deep import TOP, Deep, deep_file, read_deep
from stencilnet.pictures.formats import FORMATS, head_of, misread, open_image, unread
from stencilnet.pictures.gray import WIDE_MODES, Gray, gray_of, shades
from stencilnet.pictures.metadata import kept_exif

R = TypeVar("R")

Bytes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]

_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})
"""Modes without transparency that Pillow converts to RGB by a fixed formula."""


class ImageError(ValueError):
    """A picture or label file cannot be read correctly; the message names the file, the reason and the remedy."""


class TooManyPixelsError(ImageError):
    """A picture is too large to be read."""


@runtime_checkable
class Readable(Protocol):
    """A file object that is open in binary mode."""

    def read(self) -> bytes:
        """Return the bytes from the current position on."""
        ...


Source: TypeAlias = Image.Image | str | os.PathLike[str] | bytes | Readable | Bytes | Deep
"""A picture: Pillow's, a file's path, a file's bytes, an open file, or an RGB array ``(H, W, 3)``, uint8 or uint16."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A picture as networks see it, and what its file holds beside that.

    Attributes:
        rgb: The upright picture of mode RGB, in sRGB; transparency is composited over white.
        alpha: Its opacity, of mode L; None if it is opaque everywhere.
        profile: The colour profile (ICC) that `rgb` was converted from; empty if the picture has none.
        exif: The metadata that may be kept (`stencilnet.pictures.metadata`), as EXIF; empty if not asked for.
        deep: The same pixels as `rgb` with 16 bits per channel, ``(H, W, 3)``, not to be written to; None if the
            picture does not have them, they cannot be read, or were not asked for.
        shallow: Why a picture of 16 bits was read with 8, as a clause; empty if it was not.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    profile: bytes = b""
    exif: bytes = b""
    deep: Deep | None = None
    shallow: str = ""


def read_photo(source: Source, *, metadata: bool = False, deep: bool = False) -> Photo:
    """Read a picture.

    The EXIF orientation is applied; transparency is composited over white; palette, gray, CMYK (without a profile:
    ``R = (1 - C)(1 - K)``) and 16-bit gray (65535 becomes 255) are converted, and colours from an embedded profile to
    sRGB. A Pillow picture without an orientation, for example after ``ImageOps.exif_transpose``, counts as upright. The
    size limit is Pillow's own, ``PIL.Image.MAX_IMAGE_PIXELS``.

    A picture has 16 bits if it is gray of 16 bits, a file of RGB with 16 bits (PNG or TIFF, by PyAV), or an array of
    uint16. Those that are transparent, or whose colours are converted from a profile, are read with 8, and so is RGB
    where PyAV is missing or cannot read it.

    Args:
        source: The picture. A Pillow picture is not changed, except that its pixels are loaded from its file if they
            were not yet; an open file is read from its position to its end, and left open.
        metadata: Whether to read `Photo.exif`. Default False.
        deep: Whether to read `Photo.deep`. Default False.

    Returns:
        The picture. Of a Pillow picture from which nothing has to change, `Photo.rgb` is that picture.

    Raises:
        ImageError: If a file is missing, empty, truncated, too large, or not a picture with a known range of values,
            or a Pillow picture of an unsupported format is not loaded yet.
        TypeError: If `source` is none of these.
        ValueError: If an array has another shape.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, deep)
    if isinstance(source, Image.Image):
        return _photo(source, _checked(source), None, metadata, deep)
    file = _file(source)
    with open_checked(file) as opened:
        return _photo(opened, _named(file), file, metadata, deep)


def name_of(source: Source) -> str:
    """Return a file's path, and "The picture" for pictures without one: the subject of a message."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "The picture"


def read_image(path: Path) -> Image.Image:
    """Read a picture's file as upright RGB; conversions and errors are those of `read_photo`."""
    return read_photo(path).rgb


def read_stored(path: Path) -> Image.Image:
    """Read a picture as RGB like `read_image`, but ignore its EXIF orientation.

    The orientation of a TIFF is still applied, by Pillow.

    Raises:
        ImageError: As `read_photo`.
    """
    with open_checked(path) as opened:
        guarded(str(path), opened.load, path)
        return _parts(opened, str(path), gray_of(opened))[0]


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow picture to upright RGB, bit-equal to `read_image` of its file; see `read_photo`.

    Returns:
        A picture of mode RGB; `image` itself if nothing has to change.

    Raises:
        ImageError: As `read_photo`.
    """
    return read_photo(image).rgb


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
    values = finite(array.astype(np.float32, copy=False))
    pixels = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def finite(array: Floats) -> Floats:
    """Return an array itself.

    Raises:
        ValueError: If a value is not finite.
    """
    if not np.isfinite(array).all():
        raise ValueError("Expected argument `array` to be finite, but got NaN or infinity. Check the network's output.")
    return array


def open_checked(file: Path | bytes) -> ImageFile.ImageFile:
    """Open a picture's file, or its bytes, without reading the pixels.

    Raises:
        ImageError: If it is not a picture, is too large, or would be misread by Pillow.
    """
    what = _named(file)
    if isinstance(file, Path) and not file.is_file():
        found = "it is not a file" if file.exists() else "there is no such file"
        raise ImageError(f"Cannot read {file}: {found}. Give the path of a picture.")
    opened = guarded(what, lambda: open_image(file if isinstance(file, Path) else BytesIO(file)), file)
    if Image.MAX_IMAGE_PIXELS is not None and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:
        opened.close()
        raise _too_large(what, f"{opened.width}x{opened.height} pixels")
    if (problem := guarded(what, lambda: misread(opened, file), file)) is not None:
        opened.close()
        raise ImageError(f"Cannot read {what}: {problem}")
    return opened


def guarded(what: str, work: Callable[[], R], file: Path | bytes | None = None) -> R:
    """Run one of Pillow's readers, which raise almost any exception on damaged bytes.

    Args:
        what: Name of the picture for messages.
        work: The reader.
        file: The file or its bytes, examined for a better message; None if there may be none.

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
        raise ImageError(f"Cannot read {what}: {_why(error, file)}") from error


def _why(error: Exception, file: Path | bytes | None) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}. Check the file's permissions and disk."
    if file is not None and not head_of(file):
        return "the file is empty (0 bytes). Copy or download it again."
    if file is not None and (other := unread(file)) is not None:
        return other
    reason = f"its data cannot be decoded ({error})"
    if isinstance(error, UnidentifiedImageError):
        reason = f"it is none of {', '.join(sorted(FORMATS))}"
    remedy = "copy or download it again, or save it again as PNG or JPEG"
    return f"{reason}. The file is damaged or of another format: {remedy}."


def _too_large(what: str, found: str) -> TooManyPixelsError:
    return TooManyPixelsError(
        f"Cannot read {what}: the picture is too large ({found}; the limit is {Image.MAX_IMAGE_PIXELS} pixels). "
        "Save it smaller or, for files that you trust, raise PIL.Image.MAX_IMAGE_PIXELS."
    )


def turned(image: Image.Image) -> Image.Image:
    """Load a picture's pixels and return it with its EXIF orientation applied; itself if it is upright."""
    image.load()
    upright = image.getexif().get(ExifTags.Base.Orientation, 1) not in range(2, 9)
    return image if upright else ImageOps.exif_transpose(image)


def _photo(image: Image.Image, what: str, file: Path | bytes | None, metadata: bool, deep: bool) -> Photo:
    stored = guarded(what, lambda: deep_file(image, file), file) if deep and file is not None else None
    upright = guarded(what, lambda: turned(image), file)
    gray = gray_of(image)
    rgb, alpha, converted = _parts(upright, what, gray)
    pixels: Deep | str | None = None
    if stored is not None or (deep and upright.mode in WIDE_MODES):
        if alpha is not None or converted:
            pixels = "it is transparent" if alpha is not None else "its colours are converted from their profile"
        elif stored is None:
            pixels = _deep_gray(upright, gray)
        else:
            pixels = guarded(what, partial(read_deep, stored, rgb), file)
    return Photo(
        rgb=rgb,
        alpha=alpha,
        profile=bytes(image.info.get("icc_profile") or b""),
        exif=guarded(what, lambda: kept_exif(image), file) if metadata else b"",
        deep=None if isinstance(pixels, str) else pixels,
        shallow=pixels if isinstance(pixels, str) else "",
    )


def _parts(image: Image.Image, what: str, gray: Gray) -> tuple[Image.Image, Image.Image | None, bool]:
    """Return a picture over white in sRGB, its opacity (None if it is opaque), and whether a profile changed it."""
    alpha = _alpha(image)
    stored = _narrow(image, what, gray) if image.mode in WIDE_MODES else _plain(image, what)
    plain = in_srgb(stored, what)
    converted = plain is not stored
    if plain is not image or plain.mode != "RGB":
        plain = plain.convert("RGB")
        plain.info.pop("icc_profile", None)
    if alpha is None:
        return plain, None, converted
    canvas = Image.new("RGBA", image.size, "white")
    plain.putalpha(alpha)
    canvas.alpha_composite(plain)
    return canvas.convert("RGB"), alpha, converted


def _alpha(image: Image.Image) -> Image.Image | None:
    if not image.has_transparency_data:
        return None
    if image.mode in WIDE_MODES:
        clear = np.asarray(image) == image.info["transparency"]
        alpha = Image.fromarray(np.where(clear, 0, 255).astype(np.uint8))
    else:
        alpha = image.convert("RGBA").getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _plain(image: Image.Image, what: str) -> Image.Image:
    """Return a picture of 8 bits as L, RGB or CMYK, without alpha; itself if it is one of these."""
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return colours.getchannel("R") if image.mode in {"L", "LA", "La"} else colours.convert("RGB")
    if image.mode not in _PLAIN_MODES:
        raise ImageError(
            f"Cannot read {what}: pictures of Pillow mode {image.mode!r} have no known range of values. "
            "Save it as 8-bit RGB or as 8- or 16-bit gray."
        )
    if image.mode in {"L", "RGB", "CMYK"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _narrow(image: Image.Image, what: str, gray: Gray) -> Image.Image:
    """Round gray of more than 8 bits to 8 bits."""
    try:
        narrow = Image.fromarray(shades(image, gray, 255).astype(np.uint8))
    except ValueError as error:
        raise ImageError(f"Cannot read {what}: {error}") from error
    narrow.info["icc_profile"] = image.info.get("icc_profile")
    return narrow


def _deep_gray(image: Image.Image, gray: Gray) -> Deep:
    """Return gray of more than 8 bits as RGB of 16; the three channels are one in memory."""
    levels = shades(image, gray, TOP).astype(np.uint16)
    return np.broadcast_to(levels[..., None], (*levels.shape, 3))


def _from_array(array: npt.NDArray[np.generic], deep: bool) -> Photo:
    known = array.dtype.newbyteorder("=") in (np.uint8, np.uint16)
    if not known or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(
            "Expected an array to be an RGB picture (H, W, 3) of uint8 or uint16, but got "
            f"{array.dtype} of shape {array.shape}. Convert it, or pass the file."
        )
    if array.dtype == np.uint8:
        return Photo(rgb=Image.fromarray(np.ascontiguousarray(array)))
    levels = array.astype(np.uint16)  # a copy, in this machine's byte order
    rounded = np.rint(levels / np.float32(257)).astype(np.uint8)
    return Photo(rgb=Image.fromarray(rounded), deep=levels if deep else None)


def _file(source: object) -> Path | bytes:
    """Return a file's path, or the bytes of what has none."""
    if isinstance(source, str | os.PathLike):
        return Path(source)
    data = source.read() if isinstance(source, Readable) else source
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(
            "Expected a picture as a path, bytes, a file opened in binary mode, a Pillow picture, or a NumPy array "
            f"(H, W, 3) of uint8, but got {type(data).__name__}{'' if data is source else ' from reading a file'}."
        )
    return bytes(data)


def _named(file: Path | bytes) -> str:
    return str(file) if isinstance(file, Path) else "the picture"


def _checked(image: Image.Image) -> str:
    """Return a Pillow picture's name, after checking that its pixels may be read."""
    if not isinstance(image, ImageFile.ImageFile):
        return "the picture"
    what = os.fsdecode(image.filename) or "the picture"
    if image.tile and image.format not in {*FORMATS, "MPO"}:
        raise ImageError(
            f"Cannot read {what}: it is {image.format}, which is not read (only {', '.join(sorted(FORMATS))} are). "
            "If you trust the file, call the picture's load() first."
        )
    return what
