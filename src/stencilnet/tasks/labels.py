"""Label maps in: class indices as they are stored, never shades or colours made of them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from stencilnet.tasks.images import WIDE_MODES, ImageError, guarded, open_checked, turned

_STRETCHED = frozenset({"L;2", "L;4"})
"""Pillow stretches gray PNGs of 2 and 4 bits to 0-255, which spoils indices."""


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read a label map: the indices of a palette PNG or the values of a gray one, never by way of RGB.

    Args:
        path: The label map's file.

    Returns:
        Class indices ``(H, W)`` uint8, upright if the file has an EXIF orientation.

    Raises:
        ImageError: If the file cannot be read, or is not a gray or palette picture of values 0-255 without loss.
    """
    with open_checked(path) as opened:
        kind = opened.format
        raw = opened.tile[0].args if opened.tile else ""
        image = guarded(str(path), lambda: turned(opened), path)
    if kind in ("JPEG", "MPO"):
        raise ImageError(
            f"Cannot read labels from {path}: JPEG changes values, so class indices do not survive it. "
            "Make the label map anew as an 8-bit gray or palette PNG."
        )
    if raw in _STRETCHED:
        raise ImageError(
            f"Cannot read labels from {path}: gray of fewer than 8 bits does not say whether its values are indices "
            "or shades. Save the class indices as an 8-bit gray or palette PNG."
        )
    if image.mode not in {"1", "L", "P"} | WIDE_MODES:
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
