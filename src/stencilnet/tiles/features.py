"""Feature maps that are computed strip by strip, from the rows that each strip needs."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stencilnet.cores import threads
from stencilnet.pictures.images import Floats

Rows = Callable[[int, int], Floats]
"""``rows(a, b)``: rows a to b - 1 of a feature map, ``(C, b - a, W)`` float32; the caller may change them."""

T = TypeVar("T")

_Doubles = NDArray[np.float64]

_EPSILON = 1e-5
"""Added to the variance by every instance norm."""


@dataclass(frozen=True)
class Features:
    """A feature map of the whole picture, of which any rows can be computed.

    Attributes:
        rows: Computes rows.
        height: Rows of the whole map.
        width: Its columns.
    """

    rows: Rows
    height: int
    width: int

    def strips(self, rows: int) -> Iterator[tuple[int, int, Floats]]:
        """Yield the map from top to bottom: first row, the row after the last, and the rows; at most `rows` each."""
        for top in range(0, self.height, rows):
            bottom = min(top + rows, self.height)
            yield top, bottom, self.rows(top, bottom)


def stored(array: Floats) -> Features:
    """Return a map that is in memory, ``(C, H, W)``."""
    return Features(lambda top, bottom: array[:, top:bottom].copy(), *array.shape[1:])


def convolved(x: Features, conv: Callable[[Floats], Floats]) -> Features:
    """Return a 3x3 convolution of a map, padded by zeros at the borders of the whole picture only.

    Args:
        x: The map.
        conv: The convolution, padded on the left and right, ``(C, h, w) -> (O, h - 2, w)``.
    """

    def rows(top: int, bottom: int) -> Floats:
        above, below = max(top - 1, 0), min(bottom + 1, x.height)
        missing = (above - (top - 1), (bottom + 1) - below)
        given = x.rows(above, below)
        return conv(np.pad(given, ((0, 0), missing, (0, 0))) if any(missing) else given)

    return Features(rows, x.height, x.width)


def pooled(x: Features) -> Features:
    """Return the maxima of a map's blocks of 2x2; its sides are even."""

    def rows(top: int, bottom: int) -> Floats:
        given = x.rows(2 * top, 2 * bottom)
        tall = np.maximum(given[:, ::2], given[:, 1::2])
        return np.maximum(tall[:, :, ::2], tall[:, :, 1::2])

    return Features(rows, x.height // 2, x.width // 2)


def joined(skip: Features, below: Features, up: Callable[[Floats], Floats]) -> Features:
    """Return a skip connection's channels, then those of the level below, at twice its size.

    Args:
        skip: A map of twice the sides of `below`.
        below: The level below.
        up: The transposed convolution, ``(C, h, w) -> (O, 2h, 2w)``.
    """

    def rows(top: int, bottom: int) -> Floats:
        first = top // 2
        larger = up(below.rows(first, -(-bottom // 2)))
        return np.concatenate([skip.rows(top, bottom), larger[:, top - 2 * first : bottom - 2 * first]])

    return Features(rows, skip.height, skip.width)


class Moments:
    """Mean and variance of each channel of a map, collected strip by strip in double precision.

    Strips are combined exactly (Chan, Golub and LeVeque 1983, Algorithms for Computing the Sample Variance, Eq. 2.1).
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: _Doubles = np.zeros(())
        self._squares: _Doubles = np.zeros(())

    def add(self, strip: Floats) -> None:
        """Add a strip ``(C, h, W)``."""
        mean, squares = np.array(list(each_channel(_moments, strip))).T
        added = strip[0].size
        count = self._count + added
        difference = mean - self._mean
        self._squares = self._squares + squares + difference**2 * (self._count * added / count)
        self._mean = self._mean + difference * (added / count)
        self._count = count

    def activate(self, scale: Floats | None, shift: Floats | None) -> Callable[[Floats], Floats]:
        """Return instance norm and ReLU, which change rows ``(C, h, W)`` in place and return them.

        Args:
            scale: The norm's scale by channel; 1 by default.
            shift: The norm's shift by channel; 0 by default.
        """
        deviation = np.sqrt(self._squares / self._count + _EPSILON)
        factors = ((1.0 if scale is None else scale) / deviation).astype(np.float32)
        means = self._mean.astype(np.float32)
        shifts = np.zeros_like(means) if shift is None else shift

        def activated(x: Floats) -> Floats:
            for _ in each_channel(_activate, x, means, factors, shifts):
                pass
            return x

        return activated


def _moments(channel: Floats) -> tuple[float, float]:
    """Return a channel's mean and its sum of squared differences from it."""
    mean = channel.mean(dtype=np.float64)
    difference = channel - np.float32(mean)
    return float(mean), float(np.square(difference, out=difference).sum())  # NumPy sums pairwise


def _activate(channel: Floats, mean: np.float32, factor: np.float32, shift: np.float32) -> None:
    channel -= mean
    channel *= factor
    if shift:
        channel += shift
    np.maximum(channel, 0, out=channel)


def each_channel(work: Callable[..., T], *values: Floats) -> Iterator[T]:
    """Yield a function's results for each channel; several threads work, since NumPy lets go of Python's lock."""
    return _pool().map(work, *values) if threads() > 1 else map(work, *values)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), thread_name_prefix="stencil-tiles")


def mapped(x: Features, change: Callable[[Floats], Floats]) -> Features:
    """Return a map changed row by row."""
    return Features(lambda top, bottom: change(x.rows(top, bottom)), x.height, x.width)
