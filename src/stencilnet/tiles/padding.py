"""A picture padded for the U-Net and its output cropped, by rows, without a padded copy of the whole."""

import numpy as np
from numpy.typing import NDArray

from stencilnet.pictures.images import Floats
from stencilnet.tiles.features import Features

MULTIPLE = 16
LEAST = 32


def padded(image: Floats) -> Features:
    """Return a picture ``(C, H, W)`` padded as the U-Net pads it: evenly, by reflection, else by replication."""
    rows, columns = (_sources(side) for side in image.shape[1:])
    return Features(lambda top, bottom: image[:, rows[top:bottom]][:, :, columns], len(rows), len(columns))


def cropped(output: Features, channels: int, height: int, width: int, rows: int) -> Floats:
    """Compute a whole map of `channels` channels strip by strip, and return the middle ``(C, height, width)``."""
    found = np.empty((channels, height, width), np.float32)
    above, left = (output.height - height) // 2, (output.width - width) // 2
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        found[:, top:bottom] = output.rows(above + top, above + bottom)[:, :, left : left + width]
    return found


def _sources(side: int) -> NDArray[np.intp]:
    """Return the row or column of a picture that each one of the padded picture repeats."""
    total = max(LEAST, -(-side // MULTIPLE) * MULTIPLE) - side
    amounts = (total // 2, total - total // 2)
    return np.pad(np.arange(side), amounts, mode="reflect" if amounts[1] < side else "edge")
