"""Full-range BT.601 colour, as in JPEG files (ITU-T T.871, JFIF): luma, and two chroma channels centred on 128.

Other libraries often define YCbCr differently (studio range in scikit-image, other factors in OpenCV). The same in
PyTorch, for training: `stencilnet.tasks.ycbcr`.
"""

import numpy as np

from stencilnet.pictures.images import Floats


def luma(rgb: Floats) -> Floats:
    """Return Y of RGB ``(3, H, W)`` as ``(1, H, W)``, both in [0, 1]."""
    red, green, blue = rgb
    y: Floats = 0.299 * red + 0.587 * green + 0.114 * blue
    return y.clip(0, 1)[None]


def ycbcr_to_rgb(ycbcr: Floats) -> Floats:
    """Convert ``(3, H, W)`` YCbCr levels to RGB levels, not clamped: many YCbCr triples are outside RGB."""
    y, cb, cr = ycbcr
    cb, cr = cb - 128, cr - 128
    return np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb])


def thrice(gray: Floats) -> Floats:
    """Repeat one channel ``(1, H, W)`` three times, as the backbone's first convolution expects."""
    return np.repeat(gray, 3, axis=0)
