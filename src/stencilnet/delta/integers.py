"""Entropy coding of small integers, one per weight (``docs/format.md``, kind ``quantized``)."""

from math import prod

import numpy as np
import numpy.typing as npt

from stencilnet.delta import rans

LARGEST = 127
"""Largest absolute value of a coded integer."""

MOST = 1 << 27
"""Most integers of one array: a few bytes can encode many integers, and no file should claim all memory."""

STEPS = 1 << 13
"""Most integers of a lane. Each is a symbol of its own, so lanes are long, to cost little at few bits per weight."""

_HEADER = 2
_WORD = "<u2"
"""A word is 16 bits, little-endian."""

Integers = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]


def encode_integers(codes: Integers) -> Bytes:
    """Return integers as code words.

    Args:
        codes: int8 of any shape, 1 to `MOST` of them, from -`LARGEST` to `LARGEST`.

    Returns:
        ``(2 * words,)`` uint8, identical on every machine.

    Raises:
        ValueError: If there are too few or too many, or one is out of range.
    """
    flat = codes.reshape(-1).astype(np.int64)
    largest = int(np.abs(flat).max(initial=0))
    if not 1 <= flat.size <= MOST or largest > LARGEST:
        raise ValueError(
            f"Expected 1 to {MOST} integers from {-LARGEST} to {LARGEST}, but got {flat.size} with a largest absolute "
            f"value of {largest}."
        )
    symbols = (flat + largest).astype(np.uint8)
    shares = _shares(np.bincount(symbols, minlength=2 * largest + 1), largest)
    starts = _starts(shares, largest)
    states, words = rans.encode(symbols, starts, rans.lanes(symbols, starts, STEPS))
    head = np.concatenate([[largest, len(states)], shares])
    halves = np.stack([states & 0xFFFF, states >> 16], axis=1).reshape(-1)
    return np.concatenate([head, halves, words]).astype(_WORD).view(np.uint8)


def decode_integers(code: Bytes, shape: tuple[int, ...]) -> Integers:
    """Return the integers that code words encode.

    Args:
        code: ``(2 * words,)`` uint8.
        shape: The array's shape.

    Raises:
        ValueError: If they do not encode an array of this shape.
    """
    count = prod(shape)
    if code.dtype != np.uint8 or code.ndim != 1 or code.size % 2 or code.size < 2 * _HEADER or not 1 <= count <= MOST:
        raise ValueError(
            f"Expected at least {_HEADER} code words, as (2 * words,) bytes, of 1 to {MOST} integers, but got "
            f"{code.dtype} of shape {code.shape} for {count} integers."
        )
    words = code.view(_WORD).astype(np.uint32)
    largest, lanes = int(words[0]), int(words[1])
    shares = words[_HEADER : _HEADER + 2 * largest].astype(np.int64)
    body = _HEADER + 2 * largest + 2 * lanes
    fits = largest <= LARGEST and 1 <= lanes <= count <= STEPS * lanes and len(words) >= body
    if not fits or shares.sum() >= rans.TOTAL:
        raise ValueError(
            f"Expected a largest value of at most {LARGEST}, shares below {rans.TOTAL} in all, and 1 to {count} lanes "
            f"of at most {STEPS} integers, but got {largest}, shares of {int(shares.sum())}, {lanes} lanes and "
            f"{len(words)} words."
        )
    states = words[body - 2 * lanes : body : 2] | words[body - 2 * lanes + 1 : body : 2] << np.uint32(16)
    symbols = rans.decode(states, words[body:].astype(np.uint16), _starts(shares, largest), count)
    return (symbols.astype(np.int16) - largest).astype(np.int8).reshape(shape)


def _shares(counts: npt.NDArray[np.int64], largest: int) -> npt.NDArray[np.int64]:
    """Return integer shares of 65536 for all values but 0: at least 1 for each that occurs, and 1 left for 0."""
    total = int(counts.sum())
    others = np.delete(counts, largest)
    shares = np.maximum((2 * rans.TOTAL * others + total) // (2 * total), others > 0)
    excess = int(shares.sum()) - (rans.TOTAL - 1)
    if excess > 0:
        shares[shares.argmax()] -= excess
    return shares


def _starts(shares: npt.NDArray[np.int64], largest: int) -> rans.Starts:
    """Return where each value's slots start; the value 0, in the middle, has the slots that the others leave."""
    sizes = np.insert(shares, largest, rans.TOTAL - shares.sum())
    return np.concatenate([[0], np.cumsum(sizes)])
