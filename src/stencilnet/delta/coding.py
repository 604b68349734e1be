"""The coding ``entropy`` of a mask's bits: the gaps between its rarer bits, range-coded (``docs/format.md``)."""

from math import prod

import numpy as np
import numpy.typing as npt

from stencilnet.delta import rans
from stencilnet.delta.packing import BitMask

MOST = 1 << 27
"""Most weights of a coded mask: a few bytes can encode many bits, and no file should claim all memory."""

STEPS = 1 << 11
"""Most symbols of a lane."""

_EVEN = 29491
"""In 1/65536 (45 %): if the rarer bit is more frequent than this, code takes no fewer bytes than one bit per weight."""

_SKIP = rans.SYMBOLS - 1
"""Symbol of a gap of this length that is not followed by a rarer bit."""

_HEADER = 4
_WORD = "<u2"
"""A word is 16 bits, little-endian."""


def is_worth_coding(bits: BitMask) -> bool:
    """Return whether code may take fewer bytes than one bit per weight; if not, `encode_bits` is not worth calling."""
    return 1 <= bits.numel <= MOST and _rarer(_chance(bits))[0] <= _EVEN


def encode_bits(bits: BitMask) -> npt.NDArray[np.uint8]:
    """Return a mask as code words; their number is close to optimal if the bits are independent of each other.

    Args:
        bits: A mask of 1 to `MOST` weights.

    Returns:
        ``(2 * words,)`` uint8, identical on every machine.
    """
    chance = _chance(bits)
    rate, rarer = _rarer(chance)
    flat = bits.unpack().reshape(-1)
    symbols = _gaps(np.flatnonzero(flat == rarer), bits.numel)
    starts = rans.geometric(rate)
    states, words = rans.encode(symbols, starts, rans.lanes(symbols, starts, STEPS))
    head = np.array([chance, len(states), len(symbols) & 0xFFFF, len(symbols) >> 16])
    halves = np.stack([states & 0xFFFF, states >> 16], axis=1).reshape(-1)
    return np.concatenate([head, halves, words]).astype(_WORD).view(np.uint8)


def decode_bits(code: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> BitMask:
    """Return the mask of shape `shape` that code words encode.

    Raises:
        ValueError: If they do not encode such a mask.
    """
    weights = prod(shape)
    whole = code.dtype == np.uint8 and code.ndim == 1 and len(code) % 2 == 0 and len(code) >= 2 * _HEADER
    if not whole or not 1 <= weights <= MOST:
        raise ValueError(
            f"Expected at least {_HEADER} code words, as (2 * words,) bytes, of a mask of 1 to {MOST} weights, "
            f"but got {code.dtype} of shape {code.shape} for {weights} weights."
        )
    values = code.view(_WORD).astype(np.uint32)
    chance, lanes, count = int(values[0]), int(values[1]), int(values[2] | values[3] << 16)
    body = _HEADER + 2 * lanes
    if chance < 1 or not 1 <= lanes <= count <= min(STEPS * lanes, weights + 1) or len(values) < body:
        raise ValueError(
            f"Expected a chance of at least 1, 1 to {STEPS} symbols and two words per lane, and at most "
            f"{weights + 1} symbols, but got {chance}, {count} in {lanes} lanes, and {len(values) - _HEADER} words."
        )
    rate, rarer = _rarer(chance)
    states = values[_HEADER:body:2] | values[_HEADER + 1 : body : 2] << np.uint32(16)
    symbols = rans.decode(states, values[body:].astype(np.uint16), rans.geometric(rate), count)
    flat = np.full(weights, 1 - rarer, dtype=np.uint8)
    flat[_positions(symbols, weights)] = rarer
    return BitMask(np.packbits(flat, bitorder="little"), shape)


def _chance(bits: BitMask) -> int:
    """Return the share of ones in 1/65536, rounded, but neither none nor all."""
    return min(max((2 * rans.TOTAL * bits.ones + bits.numel) // (2 * bits.numel), 1), rans.TOTAL - 1)


def _rarer(chance: int) -> tuple[int, int]:
    """Return the share of the rarer bit in 1/65536, and which bit it is; `chance` is the share of ones."""
    return (chance, 1) if 2 * chance <= rans.TOTAL else (rans.TOTAL - chance, 0)


def _gaps(positions: npt.NDArray[np.int64], weights: int) -> rans.Symbols:
    """Return the gaps before each rarer bit and before the end, as symbols; a long gap starts with skips."""
    gaps = np.diff(positions, prepend=-1, append=weights) - 1
    skips = gaps // _SKIP
    symbols = np.full(len(gaps) + int(skips.sum()), _SKIP, dtype=np.uint8)
    symbols[np.cumsum(skips + 1) - 1] = gaps % _SKIP
    return symbols


def _positions(symbols: rans.Symbols, weights: int) -> npt.NDArray[np.int64]:
    ends = symbols != _SKIP
    positions: npt.NDArray[np.int64] = np.cumsum(symbols + ends, dtype=np.int64)[ends] - 1
    if not ends[-1] or positions[-1] != weights:
        raise ValueError(f"Expected gaps up to the end of {weights} weights, but they end elsewhere.")
    return positions[:-1]
