"""A picture padded for the U-Net and its output cropped, by rows, without a padded copy of the whole."""

import numpy as np

from stencilnet.graphs.padding import padding_sources
from stencilnet.pictures.images import Floats
from stencilnet.tiles.features import Features


def padded(image: Floats) -> Features:
    """Return a picture ``(C, H, W)`` padded as the U-Net pads it: evenly, by reflection, else by replication."""
    rows, columns = (padding_sources(side) for side in image.shape[1:])
    return Features(lambda top, bottom: image[:, rows[top:bottom]][:, :, columns], len(rows), len(columns))


def cropped(output: Features, channels: int, height: int, width: int, rows: int) -> Floats:
    """Compute a whole map of `channels` channels strip by strip, and return the middle ``(C, height, width)``."""
    found = np.empty((channels, height, width), np.float32)
    above, left = (output.height - height) // 2, (output.width - width) // 2
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        found[:, top:bottom] = output.rows(above + top, above + bottom)[:, :, left : left + width]
    return found
