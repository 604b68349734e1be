"""``where(bits, W, 0)`` straight from packed bits, at about the speed of copying W."""

import logging
import subprocess
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from stencilnet.delta import BitMask
from stencilnet.masks.arrays import tensor_of

logger = logging.getLogger(__name__)

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers as wide as a weight, by bytes."""

_CHUNK = 1 << 22
"""Weights per chunk: their indices take at most 2 MiB, and a chunk is large enough for threads to pay off."""


def unpacked(bits: BitMask, device: torch.device) -> Tensor:
    """Return a mask as a bool tensor on a device; its bits go there packed."""
    return _unpacked(tensor_of(bits.packed).to(device), bits.numel).view(bits.shape)


def _unpacked(packed: Tensor, count: int) -> Tensor:
    powers = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=packed.device)
    return packed.unsqueeze(1).bitwise_and(powers).ne(0).view(-1)[:count]


def select_packed(weight: Tensor, bits: BitMask, out: Tensor | None = None) -> Tensor:
    """Return the selected weights, bit for bit ``torch.where(bits.unpack(), weight, 0)``.

    On a CPU, weights are kept or cleared as integers, by one table row per byte of the mask; on CUDA, by one kernel if
    Triton is available. Zeros are +0.0, and NaN and infinity are cleared like any weight.

    Args:
        weight: Float weights of the mask's shape, on any device.
        bits: The mask.
        out: Output of the weight's shape, dtype and device, sharing no memory with it; no gradient passes then.
            None (default) allocates it.

    Returns:
        `out`, or the new tensor.

    Raises:
        ValueError: If `out` does not fit.
    """
    if out is None and (weight.requires_grad or weight.is_complex()):
        return torch.where(unpacked(bits, weight.device), weight, _zero(weight))
    if out is None:
        out = torch.empty_like(weight, memory_format=torch.contiguous_format)
    select_all([weight], [bits], [out])
    return out


def select_all(weights: Sequence[Tensor], masks: Sequence[BitMask], outs: Sequence[Tensor]) -> None:
    """Do `select_packed` for many weights, on CUDA in one launch.

    Args:
        weights: As for `select_packed`.
        masks: One per weight.
        outs: One per weight.

    Raises:
        ValueError: If one of `outs` or `masks` does not fit; nothing has been written then.
    """
    for weight, bits, out in zip(weights, masks, outs, strict=True):
        _check_out(weight, out)
        if bits.shape != weight.shape:  # a kernel would read out of bounds
            raise ValueError(
                f"Expected a mask of shape {tuple(weight.shape)}, like its weight, but got one of shape {bits.shape}."
            )
    flat: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, Tensor, Tensor]]] = {}
    with torch.no_grad():
        for weight, bits, out in zip(weights, masks, outs, strict=True):
            if not out.is_contiguous() or weight.is_complex():
                out.copy_(torch.where(unpacked(bits, weight.device), weight, _zero(weight)))
                continue
            integer = _INTEGERS[weight.element_size()]
            given, taken = weight.detach().contiguous().view(-1).view(integer), out.detach().view(-1).view(integer)
            packed = tensor_of(bits.packed).to(weight.device)
            flat.setdefault((weight.device, integer), []).append((given, packed, taken))
        for (device, _), triples in flat.items():
            _select(device.type, triples)


def _select(device: str, triples: Sequence[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Select from flat integers of one device and dtype, in triples of ``(given, packed, taken)``."""
    if (kernel := _kernel(device)) is not None:
        given, packed, taken = zip(*triples, strict=True)
        kernel(given, packed, taken)
        return
    for one, bits, into in triples:
        if device == "cpu":
            _select_by_rows(one, bits, into)
        else:
            torch.where(_unpacked(bits, one.numel()), one, _zero(one), out=into)


def _check_out(weight: Tensor, out: Tensor) -> None:
    wanted, got = ((t.shape, t.dtype, t.device) for t in (weight, out))
    if wanted != got:
        raise ValueError(
            f"Expected argument `out` to be {weight.dtype} of shape {tuple(weight.shape)} on {weight.device}, like "
            f"`weight`, but got {out.dtype} of shape {tuple(out.shape)} on {out.device}."
        )
    if weight.numel() and weight.device.type != "meta" and weight.data_ptr() == out.data_ptr():
        raise ValueError("Expected argument `out` to have its own memory, but got that of `weight`.")


def _zero(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=like.dtype, device=like.device)


def _select_by_rows(given: Tensor, packed: Tensor, taken: Tensor) -> None:
    """Expand the bits into integer masks in `taken`, then combine these with `given`; all flat."""
    rows = _rows(given.dtype)
    whole = given.numel() // 8 * 8
    for start in range(0, whole, _CHUNK):
        end = min(start + _CHUNK, whole)
        keep = taken[start:end]
        torch.index_select(rows, 0, packed[start // 8 : end // 8].int(), out=keep.view(-1, 8))
        keep.bitwise_and_(given[start:end])
    if whole < given.numel():
        rest = rows[int(packed[-1])][: given.numel() - whole]
        torch.bitwise_and(given[whole:], rest, out=taken[whole:])


@cache
def _rows(integer: torch.dtype) -> Tensor:
    """Return, for each byte, its bits as eight integers: all ones or zero, least significant bit first."""
    bits = torch.arange(256).unsqueeze(1).bitwise_right_shift(torch.arange(8)).bitwise_and(1)
    return bits.neg().to(integer)


@cache
def _kernel(device: str) -> Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], None] | None:
    """Return the fused kernel, or None if it does not run, which is tried once, on a few weights."""
    if device != "cuda":
        return None
    try:
        from stencilnet.masks.selecting_cuda import select_fused

        given = torch.arange(1, 9, dtype=torch.int32, device=device)
        select_fused([given], [torch.ones(1, dtype=torch.uint8, device=device)], [torch.empty_like(given)])
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:  # no Triton, or no C compiler
        reason = str(error).strip().partition("\n")[0]
        logger.warning("Triton does not work here, so masks are unpacked first, which is slower: %s", reason)
        return None
    return select_fused
