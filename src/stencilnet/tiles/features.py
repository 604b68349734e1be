"""Feature maps that are computed strip by strip, from the rows that each strip needs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stencilnet.pictures.images import Floats

Rows = Callable[[int, int], Floats]
"""``rows(a, b)``: rows a to b - 1 of a feature map, ``(C, b - a, W)`` float32; the caller may change them."""

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
        conv: The convolution without padding, ``(C, h, w) -> (O, h - 2, w - 2)``.
    """

    def rows(top: int, bottom: int) -> Floats:
        above, below = max(top - 1, 0), min(bottom + 1, x.height)
        missing = (above - (top - 1), (bottom + 1) - below)
        return conv(np.pad(x.rows(above, below), ((0, 0), missing, (1, 1))))

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
        flat = strip.reshape(len(strip), -1)
        mean = flat.mean(axis=1, dtype=np.float64)
        squares = flat.var(axis=1, dtype=np.float64) * flat.shape[1]
        count = self._count + flat.shape[1]
        difference = mean - self._mean
        self._squares = self._squares + squares + difference**2 * (self._count * flat.shape[1] / count)
        self._mean = self._mean + difference * (flat.shape[1] / count)
        self._count = count

    def activate(self, scale: Floats | None, shift: Floats | None) -> Callable[[Floats], Floats]:
        """Return instance norm and ReLU, which change rows ``(C, h, W)`` in place and return them.

        Args:
            scale: The norm's scale by channel; 1 by default.
            shift: The norm's shift by channel; 0 by default.
        """
        deviation = np.sqrt(self._squares / self._count + _EPSILON)
        factor = ((1.0 if scale is None else scale) / deviation).astype(np.float32)[:, None, None]
        mean = self._mean.astype(np.float32)[:, None, None]

        def activated(x: Floats) -> Floats:
            x -= mean
            x *= factor
            if shift is not None:
                x += shift[:, None, None]
            return np.maximum(x, 0, out=x)

        return activated


def mapped(x: Features, change: Callable[[Floats], Floats]) -> Features:
    """Return a map changed row by row."""
    return Features(lambda top, bottom: change(x.rows(top, bottom)), x.height, x.width)
