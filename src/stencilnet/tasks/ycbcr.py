"""Full-range BT.601 colour, as in JPEG files (ITU-T T.871, JFIF): luma, and two chroma channels centred on 128.

Other libraries often define YCbCr differently (studio range in scikit-image, other factors in OpenCV).
"""

import torch
from torch import Tensor


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """Convert ``(..., 3, H, W)`` RGB levels, float in 0-255, to Y in 0-255, Cb and Cr in 0.5-255.5."""
    red, green, blue = rgb.unbind(-3)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    cb = 128 - 0.168736 * red - 0.331264 * green + 0.5 * blue
    cr = 128 + 0.5 * red - 0.418688 * green - 0.081312 * blue
    return torch.stack([y, cb, cr], dim=-3)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Convert ``(..., 3, H, W)`` YCbCr levels to RGB levels, not clamped: many YCbCr triples are outside RGB."""
    y, cb, cr = ycbcr.unbind(-3)
    cb, cr = cb - 128, cr - 128
    red = y + 1.402 * cr
    green = y - 0.344136 * cb - 0.714136 * cr
    blue = y + 1.772 * cb
    return torch.stack([red, green, blue], dim=-3)


def luma(rgb: Tensor) -> Tensor:
    """Return Y of RGB ``(..., 3, H, W)`` as ``(..., 1, H, W)``, both in [0, 1]."""
    return rgb_to_ycbcr(rgb)[..., :1, :, :].clamp(0, 1)


def thrice(gray: Tensor) -> Tensor:
    """Repeat one channel ``(..., 1, H, W)`` three times, as the backbone's first convolution expects."""
    return torch.cat([gray] * 3, dim=-3)
