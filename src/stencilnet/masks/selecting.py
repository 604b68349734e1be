"""``where(bits, W, 0)`` straight from packed bits, at about the speed of copying W."""

from functools import cache

import torch
from torch import Tensor

from stencilnet.masks.packing import BitMask

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers as wide as a weight, by bytes."""

_CHUNK = 1 << 18
"""Weights at a time: few enough for their expanded bits to stay in the processor's cache."""


def select_packed(weight: Tensor, bits: BitMask) -> Tensor:
    """Return the selected weights; bit for bit ``torch.where(bits.unpack(), weight, 0)``, in new memory.

    On a CPU a weight is kept or cleared as an integer, by a row of a table for each byte of the mask. Zeros are +0.0,
    and NaN and infinity are cleared like any weight.

    Args:
        weight: Float, of the mask's shape, on the same device.
        bits: The mask.
    """
    if weight.device.type != "cpu" or weight.requires_grad or weight.is_complex():
        return torch.where(bits.unpack(), weight, torch.zeros((), dtype=weight.dtype, device=weight.device))
    integer = _INTEGERS[weight.element_size()]
    given = weight.contiguous().view(-1).view(integer)
    selected = torch.empty_like(weight, memory_format=torch.contiguous_format)
    taken = selected.view(-1).view(integer)
    for start in range(0, given.numel(), _CHUNK):
        end = min(start + _CHUNK, given.numel())
        keep = _rows(integer).index_select(0, bits.packed[start // 8 : -(-end // 8)].int()).view(-1)
        torch.bitwise_and(given[start:end], keep[: end - start], out=taken[start:end])
    return selected


@cache
def _rows(integer: torch.dtype) -> Tensor:
    """Return, for each byte, its bits as eight integers: all ones or zero, least significant bit first."""
    bits = torch.arange(256).unsqueeze(1).bitwise_right_shift(torch.arange(8)).bitwise_and(1)
    return bits.neg().to(integer)
