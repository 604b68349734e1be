"""Pads pictures to sides that the U-Net can halve four times, and crops its outputs; in NumPy."""

import numpy as np
from numpy.typing import NDArray

from stencilnet.pictures.images import Floats

MULTIPLE = 16
LEAST = 32
"""Least padded side. A side of 16 would leave a 1x1 bottleneck, which instance normalisation cannot normalise."""


def padded_side(side: int) -> int:
    """Return the side that an image side is padded to, in pixels."""
    return max(LEAST, -(-side // MULTIPLE) * MULTIPLE)


def padding_sources(side: int) -> NDArray[np.intp]:
    """Return the row or column of a picture that each one of the padded picture repeats.

    Padding is even on both sides, by reflection, else by replication: reflection can only add less than the side.
    """
    total = padded_side(side) - side
    amounts = (total // 2, total - total // 2)
    return np.pad(np.arange(side), amounts, mode="reflect" if amounts[1] < side else "edge")


def pad(image: Floats) -> Floats:
    """Pad ``(C, H, W)`` evenly on both sides to multiples of 16, at least 32, by reflection, else by replication."""
    rows, columns = (padding_sources(side) for side in image.shape[1:])
    return image[:, rows][:, :, columns]


def crop(output: Floats, height: int, width: int) -> Floats:
    """Crop the middle ``(C, height, width)``: the inverse of `pad`."""
    top, left = (output.shape[1] - height) // 2, (output.shape[2] - width) // 2
    return output[:, top : top + height, left : left + width]
