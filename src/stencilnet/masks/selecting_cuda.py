"""Unpack and select in one Triton kernel: every byte of mask and weight is read once, every weight written once."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
"""Weights a program."""


def select_fused(given: Tensor, packed: Tensor, taken: Tensor) -> None:
    """Write to `taken` what the bits keep of `given`, and 0 elsewhere.

    Args:
        given: ``(n,)`` integers as wide as the weights, contiguous.
        packed: ``(ceil(n / 8),)`` uint8, least significant bit first.
        taken: Like `given`.
    """
    size = given.numel()
    if size:
        with torch.cuda.device_of(given):  # type: ignore[no-untyped-call]  # Triton launches on the current device, whatever its tensors' one
            _select[(triton.cdiv(size, _BLOCK),)](given, packed, taken, size, BLOCK=_BLOCK)


@triton.jit  # type: ignore[untyped-decorator]
def _select(given, packed, taken, size, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    byte = tl.load(packed + place // 8, mask=inside, other=0).to(tl.int32)
    bit = (byte >> (place % 8).to(tl.int32)) & 1
    weight = tl.load(given + place, mask=inside, other=0)
    tl.store(taken + place, tl.where(bit == 1, weight, tl.zeros_like(weight)), mask=inside)
