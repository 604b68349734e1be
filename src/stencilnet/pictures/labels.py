"""Reading label maps: the class indices as stored, never shades or colours computed from them.

Pillow reads shades: it scales gray of few bits and other ranges to 0-255, and inverts gray whose 0 is white. A file
whose stored values Pillow would change is refused, since a value does not tell whether it was an index or a shade.
"""

from pathlib import Path

import numpy as np
from PIL import ImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from stencilnet.pictures.gray import WIDE_MODES
from stencilnet.pictures.images import Bytes, ImageError, guarded, open_checked, turned

VOID = 255
"""Label value of pixels that count neither in a loss nor in a metric."""

_LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"})
"""Formats (Pillow's names) that change values, always or by default."""
_LOSSY_TIFF = {"jpeg": "JPEG", "tiff_jpeg": "JPEG", "webp": "WEBP"}
"""Lossy compressions in a TIFF (Pillow's names), and the formats that they come from."""
_WHOLE_RANGES = (255, 65535)
"""Maximum values of a PGM's header for which Pillow does not scale the pixels."""
_SIGNED = 2
_REMEDY = "Save the class indices as an 8-bit gray or palette PNG."


def read_labels(path: Path) -> Bytes:
    """Read a label map: the indices of a palette picture or the values of a gray one, not converted to RGB.

    Args:
        path: The label map's file: PNG, BMP, GIF, TIFF or PGM.

    Returns:
        Class indices ``(H, W)`` uint8, upright if the file has an EXIF orientation.

    Raises:
        ImageError: If the file cannot be read; its format may change values; it is not a gray or palette picture with
            values in 0-255; or it is gray with 2 or 4 bits, inverted, or in a range that Pillow scales.
    """
    with open_checked(path) as opened:
        if (problem := _problem(opened)) is not None:
            raise ImageError(f"Cannot read labels from {path}: {problem}. {_REMEDY}")
        signed = isinstance(opened, TiffImageFile) and opened.tag_v2.get(SAMPLEFORMAT) == (_SIGNED,)
        image = guarded(str(path), lambda: turned(opened), path)
    if image.mode not in {"1", "L", "P"} | WIDE_MODES:
        raise ImageError(
            f"Expected the label file {path} to hold one class index per pixel, but got a picture of mode "
            f"{image.mode}. Save each pixel's class index (not its colour) as an 8-bit gray or palette PNG."
        )
    values = np.array(image)
    if signed and values.dtype == np.uint8:
        values = values.view(np.int8)
    if values.min() < 0 or values.max() > 255:
        raise ImageError(
            f"Expected the label file {path} to hold class indices in 0-255 (255 is void), but got values from "
            f"{values.min()} to {values.max()}. {_REMEDY}"
        )
    return values.astype(np.uint8)


def _problem(image: ImageFile.ImageFile) -> str | None:
    """Return why the values that Pillow reads may differ from the stored ones; None if they do not."""
    lossy = image.format if image.format in _LOSSY else _LOSSY_TIFF.get(image.info.get("compression", ""))
    if lossy is not None:
        return f"{lossy} may change values, so class indices do not survive it"
    decoder, raw, rest = _layout(image)
    if raw.startswith(("L;2", "L;4")):
        return "gray of fewer than 8 bits does not say whether its values are indices or shades"
    inverted = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION, 0) == 0
    if inverted or raw == "1;I":
        return "its gray is inverted (0 is white), which does not say whether its values are indices or shades"
    if decoder in ("ppm", "ppm_plain") and rest and rest[0] not in _WHOLE_RANGES:
        return f"its largest value is {rest[0]}, not 255, which makes its values shades"
    return None


def _layout(image: ImageFile.ImageFile) -> tuple[str, str, tuple[object, ...]]:
    """Return an opened picture's decoder, the name of its pixel layout, and the decoder's other arguments."""
    if not image.tile:
        return "", "", ()
    tile = image.tile[0]
    args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    return tile.codec_name, args[0] if args and isinstance(args[0], str) else "", args[1:]
