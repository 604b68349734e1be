"""A range coder of many lanes at once, in exact integers (static rANS; Duda 2013).

A state is 32 bits wide and at least 2^16, a word 16 bits; frequencies sum up to 2^16. Symbol i belongs to lane
``i % lanes``. A step of the decoder decodes one symbol of every lane; each lane whose state falls below 2^16 then takes
a word from the one stream, in the order of lanes. The encoder does the same backwards, from states of 2^16.
"""

import numpy as np
import numpy.typing as npt

SYMBOLS = 256
TOTAL = 1 << 16
"""Sum of all frequencies; also the least state, and the number of possible words."""

_LANE = 400
"""Bytes of code per lane. A lane costs about three bytes and saves steps."""

Symbols = npt.NDArray[np.uint8]
States = npt.NDArray[np.uint32]
Starts = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint16]


def geometric(rate: int) -> Starts:
    """Return where each symbol's share of `TOTAL` starts, then `TOTAL`, for geometrically distributed symbols.

    Symbol g stands for g failures and a success, with a success probability of ``rate / 65536``; the last symbol stands
    for 255 failures. Every symbol has a share of 1; the rest follows that distribution, rounded down at each step.

    Args:
        rate: Success probability times 65536, from 1 to 65535.
    """
    left, found = 1 << 32, []  # left: the chance that g tries fail, of 2^32
    for symbol in range(SYMBOLS):
        found.append(symbol + ((((1 << 32) - left) * (TOTAL - SYMBOLS)) >> 32))
        left = left * (TOTAL - rate) >> 16
    return np.array([*found, TOTAL], dtype=np.int64)


def cost(symbols: Symbols, starts: Starts) -> int:
    """Return the coded size of symbols in bytes, by their shares, rounded up a little; the same on every machine."""
    sizes = np.diff(starts).tolist()
    counts = np.bincount(symbols, minlength=len(sizes)).tolist()
    # The bit length of f^64 is 64 log2(f), without a floating-point logarithm.
    bits: int = sum(
        count * (1025 - (size**64).bit_length()) for count, size in zip(counts, sizes, strict=True) if count
    )
    return -(-bits // (64 * 8))


def lanes(symbols: Symbols, starts: Starts, steps: int) -> int:
    """Return how many lanes to code symbols in.

    Args:
        symbols: As for `encode`.
        starts: As for `encode`.
        steps: Most symbols of a lane, and so most steps of a decoder, which determine its time.
    """
    wanted = max(cost(symbols, starts) // _LANE, -(-len(symbols) // steps), 1)
    return min(wanted, len(symbols), TOTAL - 1)


def encode(symbols: Symbols, starts: Starts, lanes: int) -> tuple[States, Words]:
    """Return the lanes' states and the words that a decoder starts from.

    Args:
        symbols: ``(n,)``, n at least 1.
        starts: ``(symbols + 1,)``: where each symbol's share of `TOTAL` starts, then `TOTAL`. There are at most
            `SYMBOLS` symbols; each that occurs has a share of at least 1.
        lanes: Number of lanes, 1 to n.
    """
    start = starts.astype(np.uint64)
    size = np.diff(start)
    states = np.full(lanes, TOTAL, dtype=np.uint64)
    written: list[Words] = []
    for first in reversed(range(0, len(symbols), lanes)):
        step = symbols[first : first + lanes]
        state, share = states[: len(step)], size[step]
        full = state >= share << 16  # coding the symbol would take the state beyond 32 bits
        written.append(state[full].astype(np.uint16))
        state[full] >>= 16
        whole, rest = np.divmod(state, share)
        state[:] = (whole << 16) + start[step] + rest
    return states.astype(np.uint32), np.concatenate(written[::-1])


def decode(states: States, words: Words, starts: Starts, count: int) -> Symbols:
    """Return `count` symbols.

    Args:
        states: One per lane.
        words: The whole stream.
        starts: As for `encode`.
        count: Number of symbols, at least that of lanes.

    Raises:
        ValueError: If no encoder wrote this: words are left over or missing, or a state is invalid.
    """
    if int(states.min()) < TOTAL:
        raise ValueError(f"Expected states of at least {TOTAL}, but got {int(states.min())}.")
    sizes = np.diff(starts)
    symbol = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    scale = np.repeat(sizes, sizes).astype(np.uint32)
    shift = np.arange(TOTAL, dtype=np.uint32) - np.repeat(starts[:-1], sizes).astype(np.uint32)
    states, stream, taken = states.copy(), words.astype(np.uint32), 0
    found = np.empty(count, dtype=np.uint8)
    for first in range(0, count, len(states)):
        step = found[first : first + len(states)]
        state = states[: len(step)]
        slot = state.astype(np.uint16)
        symbol.take(slot, out=step)
        state >>= 16
        state *= scale.take(slot)
        state += shift.take(slot)
        low = np.flatnonzero(state < TOTAL)
        if taken + len(low) > len(stream):
            raise ValueError(f"Expected more words than {len(stream)}, but the stream ends there.")
        state[low] = (state[low] << 16) | stream[taken : taken + len(low)]
        taken += len(low)
    if taken != len(stream) or (states != TOTAL).any():
        raise ValueError(f"Expected {len(stream)} words to end in states of {TOTAL}, but got others after {taken}.")
    return found
