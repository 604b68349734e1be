"""Noise and small functions from which patterns are built, on float32 arrays of one shape."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

_TILE = 512
_CLOUD = 170
_LUMP = 16


@cache
def noise_tile(roughness: float, low: int, high: int) -> Floats:
    """Return a periodic random field (512, 512) with mean 0 and standard deviation 1, made in the Fourier domain.

    Args:
        roughness: Exponent of the spectrum: the amplitude is frequency ** -roughness.
        low: Lowest frequency kept, in periods per tile.
        high: Highest frequency kept.
    """
    white = np.random.default_rng(low * 1000 + high).standard_normal((_TILE, _TILE))
    fy, fx = np.meshgrid(np.fft.fftfreq(_TILE) * _TILE, np.fft.rfftfreq(_TILE) * _TILE, indexing="ij")
    frequency = np.hypot(fx, fy)
    band = np.where((frequency >= low) & (frequency <= high), np.maximum(frequency, 1) ** -roughness, 0)
    field = np.fft.irfft2(np.fft.rfft2(white) * band, s=(_TILE, _TILE))
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def clouds(u: Floats, v: Floats) -> Floats:
    """Return interpolated noise with detail at all scales; one unit is about the size of the largest lumps."""
    tile = noise_tile(2.0, 3, 160)
    u, v = u * _CLOUD, v * _CLOUD
    du, dv = fraction(u), fraction(v)
    upper = (1 - du) * _look_up(tile, u, v) + du * _look_up(tile, u + 1, v)
    lower = (1 - du) * _look_up(tile, u, v + 1) + du * _look_up(tile, u + 1, v + 1)
    return upper + dv * (lower - upper)


def lumps(u: Floats, v: Floats) -> Floats:
    """Return noise with lumps of about one unit, not interpolated."""
    return _look_up(noise_tile(0.5, 10, 64), u * _LUMP, v * _LUMP)


def _look_up(tile: Floats, u: Floats, v: Floats) -> Floats:
    # adding a large multiple of the tile turns the cast, which rounds towards zero, into a floor
    column = (u + 64 * _TILE).astype(np.intp) & (_TILE - 1)
    row = (v + 64 * _TILE).astype(np.intp) & (_TILE - 1)
    return tile.ravel().take(row * _TILE + column)


def step(value: Floats, edge: float) -> Floats:
    """Return 1 where the value is above the edge, else 0."""
    return (value > edge).astype(np.float32)


def fraction(value: Floats) -> Floats:
    """Return the value minus its floor."""
    return value - np.floor(value)


def cell_noise(u: Floats, v: Floats) -> Floats:
    """Return one random number in [0, 1) for each unit cell."""
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    mixed = (column * 374761393 + row * 668265263) & 0x7FFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0x7FFFFFFF
    return ((mixed >> 7) & 0xFFFF).astype(np.float32) / np.float32(65536)
