"""Gray of more than 8 bits: what its stored values mean, and the same shades in another range."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

WIDE_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
"""Pillow's modes of 16-bit gray; for some formats (PGM) Pillow uses 32-bit "I"."""


class Gray(NamedTuple):
    """How gray of more than 8 bits is stored: its largest value, and whether 0 is white."""

    largest: int = 65535
    white_is_zero: bool = False


def gray_of(image: Image.Image) -> Gray:
    """Return what a TIFF's tags say about its gray and Pillow ignores: a depth of 12 bits, and whether 0 is white."""
    if not isinstance(image, TiffImageFile):
        return Gray()
    twelve = image.tag_v2.get(BITSPERSAMPLE) == (12,)
    return Gray(4095 if twelve else 65535, image.tag_v2.get(PHOTOMETRIC_INTERPRETATION, 0) == 0)


def shades(image: Image.Image, gray: Gray, top: int) -> npt.NDArray[np.int64]:
    """Return the shades of a gray picture, rounded to a range.

    Args:
        image: A picture with a mode in `WIDE_MODES`.
        gray: How it is stored.
        top: The value of white; 0 is black.

    Returns:
        ``(H, W)``, in [0, `top`].

    Raises:
        ValueError: If a value is not one of at most 16 bits; the text completes a sentence on the picture.
    """
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > gray.largest:
        raise ValueError(
            f"expected gray of at most 16 bits, but got values from {values.min()} to {values.max()}, so the range is "
            "unknown. Save it as 8- or 16-bit gray."
        )
    found = (values * top + gray.largest // 2) // gray.largest
    return top - found if gray.white_is_zero else found
