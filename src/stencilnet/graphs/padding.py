"""Pads pictures to sides that the U-Net can halve four times, and crops its outputs; in NumPy."""

import numpy as np

from stencilnet.pictures.images import Floats

MULTIPLE = 16
LEAST = 32
"""Least padded side. A side of 16 would leave a 1x1 bottleneck, which instance normalisation cannot normalise."""


def padded_side(side: int) -> int:
    """Return the side that an image side is padded to, in pixels."""
    return max(LEAST, -(-side // MULTIPLE) * MULTIPLE)


def pad(image: Floats) -> Floats:
    """Pad ``(C, H, W)`` evenly on both sides to multiples of 16, at least 32, by reflection, else by replication."""
    for axis in (1, 2):
        side = image.shape[axis]
        total = padded_side(side) - side
        amounts = [(0, 0)] * 3
        amounts[axis] = (total // 2, total - total // 2)
        if total:  # reflection can only add less than the side's length
            image = np.pad(image, amounts, mode="reflect" if amounts[axis][1] < side else "edge")
    return image


def crop(output: Floats, height: int, width: int) -> Floats:
    """Crop the middle ``(C, height, width)``: the inverse of `pad`."""
    top, left = (output.shape[1] - height) // 2, (output.shape[2] - width) // 2
    return output[:, top : top + height, left : left + width]
