"""Pads images to sides that the U-Net can halve four times, and crops its outputs; in PyTorch."""

import torch.nn.functional as F
from torch import Tensor

from stencilnet.graphs.padding import padded_side


def _pad_axis(x: Tensor, *, axis: int) -> Tensor:
    side = x.shape[axis]
    total = padded_side(side) - side
    if total == 0:
        return x
    before, after = total // 2, total - total // 2
    amounts = (before, after, 0, 0) if axis == 3 else (0, 0, before, after)
    # Reflection can only add less than the side's length.
    return F.pad(x, amounts, mode="reflect" if after < side else "replicate")


def pad(x: Tensor) -> Tensor:
    """Pad ``(N, C, H, W)`` evenly on both sides to multiples of 16, at least 32, by reflection, else by replication."""
    return _pad_axis(_pad_axis(x, axis=2), axis=3)


def crop(x: Tensor, height: int, width: int) -> Tensor:
    """Crop the middle ``(N, C, height, width)``: the inverse of `pad`."""
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]
