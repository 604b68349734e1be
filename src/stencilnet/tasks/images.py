"""Pictures in and out: every stored form becomes upright RGB, or one clear error.

Embedded colour profiles are ignored; of an animation or a many-page file the first frame is read.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile
from torch import Tensor

from stencilnet.tasks.formats import FORMATS, open_image, unread

R = TypeVar("R")

WIDE_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
"""Pillow's modes of 16-bit gray; some formats (PGM) give it as 32-bit "I"."""
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})
"""Modes without transparency that Pillow converts to RGB by a fixed formula."""

_SUBFILE_TYPE = 254
"""TIFF's tag NewSubfileType; its bit 0 says that a picture is a smaller version of another one in the file."""
_DNG_VERSION = 50706


class ImageError(ValueError):
    """A picture or label file that cannot be read rightly; says which file, why, and the remedy."""


def read_image(path: Path) -> Image.Image:
    """Read a picture as upright RGB, as `upright_rgb` makes it.

    The largest size allowed is Pillow's own ``PIL.Image.MAX_IMAGE_PIXELS``.

    Args:
        path: The picture's file.

    Returns:
        A picture of mode RGB.

    Raises:
        ImageError: If the file is missing, empty, truncated, too large, or no picture with a known range of values.
    """
    with open_checked(path) as opened:
        upright = guarded(str(path), lambda: turned(opened), path)
        return _rgb(upright, str(path), _gray_of(opened))


def read_stored(path: Path) -> Image.Image:
    """Read a picture as RGB as it lies in the file: as `read_image`, but not turned by its EXIF orientation.

    A TIFF's orientation counts all the same: Pillow applies it.

    Raises:
        ImageError: As `read_image`.
    """
    with open_checked(path) as opened:
        guarded(str(path), opened.load, path)
        return _rgb(opened, str(path), _gray_of(opened))


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turn any picture that Pillow holds into upright RGB: bit for bit what `read_image` makes of its file.

    The EXIF orientation is applied; transparency is laid over white; palette, gray, CMYK (no profile:
    ``R = (1 - C)(1 - K)``) and 16-bit gray (65535 becomes 255) are converted. What has no orientation any more (after
    ``ImageOps.exif_transpose``, say) is upright.

    Args:
        image: The picture; it stays as it is, but that its pixels are read from its file if they were not before.

    Returns:
        A picture of mode RGB; `image` itself if there is nothing to change.

    Raises:
        ImageError: If its pixels cannot be read, are not read yet and of a format that is not read, or have no known
            range of values.
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


def to_tensor(image: Image.Image) -> Tensor:
    """Turn an RGB picture into a tensor ``(3, H, W)`` uint8, as its pixels lie.

    Raises:
        ValueError: If the picture's mode is not RGB.
    """
    if image.mode != "RGB":
        raise ValueError(
            f"Expected argument `image` to be a picture of mode RGB, but got {image.mode}. "
            "Read files with `read_image`, and make other pictures RGB with `upright_rgb`, both of "
            "stencilnet.tasks.images."
        )
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def to_picture(tensor: Tensor) -> Image.Image:
    """Turn a tensor ``(3, H, W)``, float RGB in [0, 1], into a picture, rounded to 8 bits.

    Values outside [0, 1] are shown as the nearest end, as a screen would.

    Raises:
        TypeError: If the tensor does not hold floats.
        ValueError: If the shape is another, or a value is not finite.
    """
    if not tensor.is_floating_point():
        raise TypeError(
            f"Expected argument `tensor` to hold floats in [0, 1], but got {tensor.dtype}. Divide 8-bit values by 255."
        )
    if tensor.ndim != 3 or tensor.shape[0] != 3 or 0 in tensor.shape:
        raise ValueError(
            f"Expected argument `tensor` to be one RGB image (3, H, W), but got shape {tuple(tensor.shape)}. "
            "Pass the images of a batch one by one."
        )
    values = tensor.detach().to("cpu", torch.float32)
    if not values.isfinite().all():
        raise ValueError(
            "Expected argument `tensor` to be finite, but got NaN or infinity. Check the network's output."
        )
    pixels = (values.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def open_checked(path: Path) -> ImageFile.ImageFile:
    """Open a picture's file, if it is one and not too large; no pixel is read yet.

    Raises:
        ImageError: If it is not.
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
    """Run one of Pillow's readers; on damaged bytes they raise almost any exception.

    Args:
        what: What is read, for messages.
        work: The reader.
        path: The file, which tells more; None if `what` may be no file.

    Raises:
        ImageError: Whatever the reader raises.
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
    """Return in words what Pillow would read without an error, but wrongly; None if it reads the picture rightly."""
    if isinstance(opened, TiffImageFile):
        tags = opened.tag_v2
        if _DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE, 0)) & 1:
            return "it is a camera's raw file, of which only a small preview can be read. Save it as PNG or JPEG."
    if opened.format == "BMP" and opened.tile[0].codec_name == "raw":
        with path.open("rb") as file:
            header = file.read(30)
        old = int.from_bytes(header[14:18], "little") == 12  # OS/2's header: sides of 2 bytes, not 4
        bits = int.from_bytes(header[24:26] if old else header[28:30], "little")
        # Of two grays Pillow reads one bit a pixel, of more eight, whatever the header says.
        if bits != {"1": 1, "L": 8}.get(opened.mode, bits):
            return "a bitmap with this gray palette is misread by Pillow. Save it as PNG by the program that made it."
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
    remedy = "copy or download it again, or save it anew as PNG or JPEG"
    return f"{reason}. The file is damaged or of another format: {remedy}."


def _too_large(what: str, found: str) -> ImageError:
    return ImageError(
        f"Cannot read {what}: the picture is too large ({found}; the limit is {Image.MAX_IMAGE_PIXELS} pixels). "
        "Save it smaller; for files that you trust the limit is PIL.Image.MAX_IMAGE_PIXELS."
    )


def turned(image: Image.Image) -> Image.Image:
    """Return a picture turned by its EXIF orientation; itself if there is nothing to turn. Its pixels are read."""
    image.load()
    upright = image.getexif().get(ExifTags.Base.Orientation, 1) not in range(2, 9)
    return image if upright else ImageOps.exif_transpose(image)


class _Gray(NamedTuple):
    """How gray of more than 8 bits is stored."""

    largest: int = 65535
    white_is_zero: bool = False


def _gray_of(image: Image.Image) -> _Gray:
    """Return what the tags of a TIFF tell and Pillow passes over: 12-bit gray, and deep gray whose 0 is white."""
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
            f"Cannot read {what}: pictures of Pillow's mode {image.mode!r} have no known range of values. "
            "Save it as 8-bit RGB or as 8- or 16-bit gray."
        )
    return image.convert("RGB")


def _narrow(image: Image.Image, what: str, gray: _Gray) -> Image.Image:
    """Scale deep gray to 8 bits; the one transparent value that a PNG may name becomes white."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > gray.largest:
        raise ImageError(
            f"Cannot read {what}: expected gray of at most 16 bits, but got values from {values.min()} to "
            f"{values.max()}, whose range is not known. Save it as 8- or 16-bit gray."
        )
    shades = (values * 255 + gray.largest // 2) // gray.largest
    if gray.white_is_zero:
        shades = 255 - shades
    clear = image.info.get("transparency")
    return Image.fromarray(np.where(values == clear, 255, shades).astype(np.uint8))
