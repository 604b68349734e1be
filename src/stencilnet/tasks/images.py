"""Pictures and label maps in and out: every stored form becomes upright RGB, or class indices, or one clear error.

Embedded colour profiles are ignored; of an animation or a many-page file the first frame is read.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from stencilnet.tasks.formats import FORMATS, open_image, unread

R = TypeVar("R")

_WIDE = 65535
"""Largest value of 16-bit gray."""
_WIDE_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
"""Pillow's modes of 16-bit gray; some formats (PGM) give it as 32-bit "I"."""
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})
"""Modes without transparency that Pillow converts to RGB by a fixed formula."""
_STRETCHED = frozenset({"L;2", "L;4"})
"""Pillow stretches gray PNGs of 2 and 4 bits to 0-255, which spoils indices."""


class ImageError(ValueError):
    """A picture or label file that cannot be read rightly; says which file, why, and the remedy."""


def read_image(path: Path) -> Image.Image:
    """Read a picture as upright RGB.

    The EXIF orientation is applied; transparency is laid over white; palette, gray, CMYK (no profile:
    ``R = (1 - C)(1 - K)``) and 16-bit gray (65535 becomes 255) are converted. The largest size allowed is Pillow's own
    ``PIL.Image.MAX_IMAGE_PIXELS``.

    Args:
        path: The picture's file.

    Returns:
        A picture of mode RGB.

    Raises:
        ImageError: If the file is missing, empty, truncated, too large, or no picture with a known range of values.
    """
    image, _ = _decode(path)
    if image.mode in _WIDE_MODES:
        return _narrow(path, image).convert("RGB")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        return canvas.convert("RGB")
    if image.mode not in _PLAIN_MODES:
        raise ImageError(
            f"Cannot read {path}: pictures of Pillow's mode {image.mode!r} have no known range of values. "
            "Save it as 8-bit RGB or as 8- or 16-bit gray."
        )
    return image.convert("RGB")


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read a label map: the indices of a palette PNG or the values of a gray one, never by way of RGB.

    Args:
        path: The label map's file.

    Returns:
        Class indices ``(H, W)`` uint8, upright if the file has an EXIF orientation.

    Raises:
        ImageError: If the file cannot be read, or is not a gray or palette picture of values 0-255 without loss.
    """
    image, raw = _decode(path)
    if image.format in ("JPEG", "MPO"):
        raise ImageError(
            f"Cannot read labels from {path}: JPEG changes values, so class indices do not survive it. "
            "Make the label map anew as an 8-bit gray or palette PNG."
        )
    if raw in _STRETCHED:
        raise ImageError(
            f"Cannot read labels from {path}: gray of fewer than 8 bits does not say whether its values are indices "
            "or shades. Save the class indices as an 8-bit gray or palette PNG."
        )
    if image.mode not in {"1", "L", "P"} | _WIDE_MODES:
        raise ImageError(
            f"Expected the label file {path} to hold one class index per pixel, but got a picture of mode "
            f"{image.mode}. Save each pixel's class index (not its colour) as an 8-bit gray or palette PNG."
        )
    values = np.array(image)
    if values.min() < 0 or values.max() > 255:
        raise ImageError(
            f"Expected the label file {path} to hold class indices in 0-255 (255 is void), but got values from "
            f"{values.min()} to {values.max()}. Save the class indices as an 8-bit gray or palette PNG."
        )
    return values.astype(np.uint8)


def to_tensor(image: Image.Image) -> Tensor:
    """Turn an RGB picture into a tensor ``(3, H, W)`` uint8.

    Raises:
        ValueError: If the picture's mode is not RGB.
    """
    if image.mode != "RGB":
        raise ValueError(
            f"Expected argument `image` to be a picture of mode RGB, but got {image.mode}. "
            "Read files with read_image, or call image.convert('RGB')."
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


def _decode(path: Path) -> tuple[Image.Image, str]:
    """Return the upright pixels as stored, and the name of their layout in the file where Pillow gives one."""
    if not path.is_file():
        found = "it is not a file" if path.exists() else "there is no such file"
        raise ImageError(f"Cannot read {path}: {found}. Give the path of a picture.")
    opened = _guarded(path, lambda: open_image(path))
    with opened:
        if Image.MAX_IMAGE_PIXELS is not None and opened.width * opened.height > Image.MAX_IMAGE_PIXELS:
            raise _too_large(path, f"{opened.width}x{opened.height} pixels")
        raw = opened.tile[0].args if opened.tile else ""
        _guarded(path, lambda: ImageOps.exif_transpose(opened, in_place=True))
        return opened, raw if isinstance(raw, str) else ""


def _guarded(path: Path, work: Callable[[], R]) -> R:
    """Run one of Pillow's readers; on damaged bytes they raise almost any exception."""
    try:
        return work()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, str(error)) from error
    except MemoryError as error:
        raise _too_large(path, "its pixels do not fit in memory") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(f"Cannot read {path}: {error.strerror}. Check the file's permissions and disk.") from error
        if path.stat().st_size == 0:
            raise ImageError(f"Cannot read {path}: the file is empty (0 bytes). Copy or download it again.") from error
        if (other := unread(path)) is not None:
            raise ImageError(f"Cannot read {path}: {other}. Save it as PNG or JPEG.") from error
        known = isinstance(error, UnidentifiedImageError)
        formats = ", ".join(sorted(FORMATS))
        reason = f"it is none of {formats}" if known else f"its data cannot be decoded ({error})"
        raise ImageError(
            f"Cannot read {path}: {reason}. The file is damaged or of another format: copy or download it again, "
            "or save it anew as PNG or JPEG."
        ) from error


def _too_large(path: Path, found: str) -> ImageError:
    return ImageError(
        f"Cannot read {path}: the picture is too large ({found}; the limit is {Image.MAX_IMAGE_PIXELS} pixels). "
        "Save it smaller; for files that you trust the limit is PIL.Image.MAX_IMAGE_PIXELS."
    )


def _narrow(path: Path, image: Image.Image) -> Image.Image:
    """Scale 16-bit gray to 8 bits; the one transparent value that a PNG may name becomes white."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > _WIDE:
        raise ImageError(
            f"Cannot read {path}: expected gray of at most 16 bits, but got values from {values.min()} to "
            f"{values.max()}, whose range is not known. Save it as 8- or 16-bit gray."
        )
    gray = (values * 255 + _WIDE // 2) // _WIDE
    clear = image.info.get("transparency")
    return Image.fromarray(np.where(values == clear, 255, gray).astype(np.uint8))
