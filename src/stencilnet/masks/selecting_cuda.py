"""Unpack and select in one Triton kernel: every byte of mask and weight is read once, every weight written once."""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 4096
"""Weights per program."""


def select_fused(given: Sequence[Tensor], packed: Sequence[Tensor], taken: Sequence[Tensor]) -> None:
    """Write the selected values of each `given` into its `taken`, and 0 elsewhere, all in one launch.

    Launching a kernel takes longer than selecting a small layer, so one kernel gets a table of the layers' addresses.

    Args:
        given: ``(n,)`` integers as wide as the weights, contiguous, all of one dtype and on one device.
        packed: ``(ceil(n / 8),)`` uint8, least significant bit first; one per `given`.
        taken: Outputs like `given`, one each.
    """
    triples = [triple for triple in zip(given, packed, taken, strict=True) if triple[0].numel()]
    if not triples:
        return
    rows = [[g.data_ptr(), p.data_ptr(), t.data_ptr(), g.numel()] for g, p, t in triples]
    first = triples[0][0]
    largest = max(row[3] for row in rows)
    with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]  # Triton launches on the current device, not on its tensors'
        table = torch.tensor(rows, dtype=torch.int64).to(first.device, non_blocking=True)
        _select[(triton.cdiv(largest, _BLOCK), len(rows))](table, first, BLOCK=_BLOCK)


@triton.jit  # type: ignore[untyped-decorator]
def _select(table, like, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = table + tl.program_id(1) * 4
    size = tl.load(row + 3)
    start = tl.program_id(0).to(tl.int64) * BLOCK
    if start < size:
        given = tl.load(row).to(like.dtype)
        packed = tl.load(row + 1).to(tl.pointer_type(tl.uint8))
        taken = tl.load(row + 2).to(like.dtype)
        place = start + tl.arange(0, BLOCK)
        inside = place < size
        byte = tl.load(packed + place // 8, mask=inside, other=0).to(tl.int32)
        bit = (byte >> (place % 8).to(tl.int32)) & 1
        weight = tl.load(given + place, mask=inside, other=0)
        tl.store(taken + place, tl.where(bit == 1, weight, tl.zeros_like(weight)), mask=inside)
