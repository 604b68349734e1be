"""Surface patterns as pure functions of surface coordinates."""

from collections.abc import Callable
from enum import IntEnum

import numpy as np

from stencilnet.scenes.noise import Floats, cell_noise, fraction, lumps, step

Pattern = Callable[["Coordinates"], tuple[Floats, Floats]]


class Texture(IntEnum):
    """Kinds of surface."""

    PLAIN = 0
    LEAVES = 1
    NEEDLES = 2
    BRICK = 3
    PLANKS = 4
    BOARDS = 5
    TILES = 6
    SLATE = 7
    THATCH = 8
    STRIPES = 9
    BANDS = 10
    DOTS = 11
    CHECKS = 12
    ZIGZAG = 13
    GORES = 14
    SPOTS = 15
    WOOL = 16
    BLOOMS = 17
    STONE = 18
    ROCK = 19
    GRASS = 20
    FLOWERS = 21
    LITTER = 22
    FURROWS = 23
    SAND = 24
    ASPHALT = 25
    WATER = 26
    PAVING = 27
    SPIKES = 28
    CLUSTERS = 29
    LENTICELS = 30


class Coordinates:
    """Position of each pixel on a surface, all (N,) float32.

    `u`, `v` run right and down in texture periods from the part's centre; `x`, `y` are in [-1, 1] over its box.
    """

    def __init__(self, u: Floats, v: Floats, x: Floats, y: Floats) -> None:
        self.u, self.v, self.x, self.y = u, v, x, y


def _plain(at: Coordinates) -> tuple[Floats, Floats]:
    return np.zeros_like(at.u), 1 + 0.025 * lumps(at.u * 6, at.v * 6)


def _leaves(at: Coordinates) -> tuple[Floats, Floats]:
    clump = lumps(at.u, at.v)
    return step(clump, 0.4) * 0.65, 0.97 + 0.13 * clump + 0.06 * lumps(at.u * 3, at.v * 3) - 0.16 * at.y


def _needles(at: Coordinates) -> tuple[Floats, Floats]:
    comb = fraction(at.v * 0.8 - np.abs(at.x) * 0.8 + 0.15 * lumps(at.u * 1.5, at.v))
    return (comb < 0.3).astype(np.float32) * 0.7, 0.62 + 0.5 * comb + 0.06 * lumps(at.u * 2, at.v * 2)


def _courses(at: Coordinates, joint: float, spread: float) -> tuple[Floats, Floats]:
    row = np.floor(at.v * 2)
    u = at.u + 0.5 * (row % 2)
    joints = np.maximum(step(fraction(at.v * 2), 1 - 2 * joint), step(fraction(u), 1 - joint))
    return joints, 1 - spread / 2 + spread * cell_noise(u, at.v * 2)


def _brick(at: Coordinates) -> tuple[Floats, Floats]:
    return _courses(at, 0.13, 0.34)


def _slate(at: Coordinates) -> tuple[Floats, Floats]:
    return _courses(at, 0.07, 0.5)


def _paving(at: Coordinates) -> tuple[Floats, Floats]:
    joints, shade = _courses(at, 0.06, 0.16)
    return joints, shade + 0.03 * lumps(at.u * 8, at.v * 8)


def _planks(at: Coordinates) -> tuple[Floats, Floats]:
    across = fraction(at.v)
    return np.zeros_like(at.u), np.where(across > 0.82, np.float32(0.66), 1.05 - 0.12 * across)


def _boards(at: Coordinates) -> tuple[Floats, Floats]:
    across = fraction(at.u)
    grain = 0.05 * lumps(at.u * 5, at.v * 0.5)
    return np.zeros_like(at.u), np.where(
        across > 0.82, np.float32(0.62), 0.94 + 0.14 * cell_noise(at.u, 0 * at.v) + grain
    )


def _tiles(at: Coordinates) -> tuple[Floats, Floats]:
    u = at.u + 0.5 * (np.floor(at.v) % 2)
    round_edge = fraction(at.v) + 0.9 * (fraction(u) - 0.5) ** 2 * 2
    return np.zeros_like(at.u), np.where(round_edge > 0.86, np.float32(0.66), 0.98 + 0.2 * cell_noise(u, at.v))


def _thatch(at: Coordinates) -> tuple[Floats, Floats]:
    return np.zeros_like(at.u), 1 + 0.15 * lumps(at.u * 4, at.v * 0.7) - 0.14 * step(fraction(at.v * 0.5), 0.85)


def _stripes(at: Coordinates) -> tuple[Floats, Floats]:
    return step(fraction(at.u + 0.25), 0.5), np.ones_like(at.u)


def _bands(at: Coordinates) -> tuple[Floats, Floats]:
    return step(fraction(at.v + 0.25), 0.5), np.ones_like(at.u)


def _dots(at: Coordinates) -> tuple[Floats, Floats]:
    row = np.floor(at.v * 1.2)
    du, dv = fraction(at.u + 0.5 * (row % 2)) - 0.5, fraction(at.v * 1.2) - 0.5
    return (du * du + dv * dv < 0.085).astype(np.float32), np.ones_like(at.u)


def _checks(at: Coordinates) -> tuple[Floats, Floats]:
    return ((np.floor(at.u * 2) + np.floor(at.v * 2)) % 2).astype(np.float32), np.ones_like(at.u)


def _zigzag(at: Coordinates) -> tuple[Floats, Floats]:
    return step(fraction(at.v + 0.7 * np.abs(fraction(at.u) - 0.5)), 0.5), np.ones_like(at.u)


def _gores(at: Coordinates) -> tuple[Floats, Floats]:
    """Stripes along the meridians of a ball that fills the box."""
    half = np.sqrt(np.maximum(1 - 0.92 * at.y * at.y, 0.08))
    turn = np.arcsin(np.clip(at.x / half, -1, 1)) / np.float32(np.pi)
    return step(fraction(turn * 4 + 0.25), 0.5), np.ones_like(at.u)


def _spots(at: Coordinates) -> tuple[Floats, Floats]:
    return step(lumps(at.u * 0.8 + at.x * 0.2, at.v * 0.8), 0.25), np.ones_like(at.u)


def _wool(at: Coordinates) -> tuple[Floats, Floats]:
    return np.zeros_like(at.u), 0.97 + 0.1 * lumps(at.u, at.v)


def _blooms(at: Coordinates) -> tuple[Floats, Floats]:
    row = np.floor(at.v)
    u = at.u + 0.5 * (row % 2)
    jitter = cell_noise(u, at.v)
    du, dv = fraction(u) - 0.35 - 0.3 * jitter, fraction(at.v) - 0.65 + 0.3 * jitter
    bloom = (du * du + dv * dv < 0.09).astype(np.float32)
    return bloom, 1 + (1 - bloom) * (0.14 * lumps(at.u * 1.5, at.v * 1.5) - 0.16 * at.y)


def _spikes(at: Coordinates) -> tuple[Floats, Floats]:
    """Upright flower heads, like lavender."""
    column = np.floor(at.u * 2)
    v = at.v * 0.7 + 0.37 * column * column
    du, dv = fraction(at.u * 2) - 0.5, fraction(v) - 0.5
    head = (du * du * 1.4 + dv * dv < 0.12).astype(np.float32)
    return head, 1 + 0.1 * lumps(at.u * 2, at.v) - 0.12 * at.y


def _clusters(at: Coordinates) -> tuple[Floats, Floats]:
    """Irregular clumps of small flowers, like azaleas."""
    lump = lumps(at.u, at.v)
    return step(lump, 0.1), 1 + 0.1 * lumps(at.u * 3, at.v * 3) - 0.14 * at.y


def _lenticels(at: Coordinates) -> tuple[Floats, Floats]:
    """Dark dashes across the white bark of a birch."""
    return step(lumps(at.u * 0.8, at.v * 2.2), 0.85), np.ones_like(at.u)


def _stone(at: Coordinates) -> tuple[Floats, Floats]:
    wobble = 0.22 * lumps(at.u * 0.7, at.v * 0.7)
    joints, shade = _courses(Coordinates(at.u + wobble, at.v * 0.8 + 0.5 * wobble, at.x, at.y), 0.12, 0.4)
    return joints, shade + 0.04 * lumps(at.u * 5, at.v * 5)


def _rock(at: Coordinates) -> tuple[Floats, Floats]:
    """Distant slopes with the second colour (snow, heath) near the top."""
    rough = lumps(at.u, at.v * 0.6)
    return step(-at.y + 0.2 * rough, 0.6), 1 + 0.09 * lumps(at.u + 0.7 * at.v, at.v * 0.5) + 0.04 * rough


def _grass(at: Coordinates) -> tuple[Floats, Floats]:
    patches = np.clip(0.5 + 0.4 * lumps(at.u * 0.35, at.v * 0.6), 0, 1)
    return patches, 1 + 0.1 * lumps(at.u * 6, at.v * 2.6) + 0.05 * lumps(at.u * 2, at.v * 3)


def _specks(at: Coordinates, density: float) -> Floats:
    v = at.v * 7
    u = at.u * 5 + 3.7 * np.floor(v) * np.floor(v)
    chance = cell_noise(u, v)
    jitter = 0.5 * fraction(chance * 97) - 0.25
    du, dv = fraction(u) - 0.5 + jitter, fraction(v) - 0.5 - 0.8 * jitter
    return np.asarray((du * du + dv * dv < 0.08) & (chance < density), dtype=np.float32)


def _flowers(at: Coordinates) -> tuple[Floats, Floats]:
    specks = _specks(at, 0.22) * step(lumps(at.u * 0.4, at.v * 0.6), -0.3)
    return specks, 1 + (1 - specks) * (0.09 * lumps(at.u * 6, at.v * 2.6) + 0.07 * lumps(at.u * 0.5, at.v))


def _litter(at: Coordinates) -> tuple[Floats, Floats]:
    specks = _specks(at, 0.4)
    return specks * 0.85, 1 + 0.07 * lumps(at.u * 6, at.v * 2.6) + 0.07 * lumps(at.u * 0.5, at.v)


def _furrows(at: Coordinates) -> tuple[Floats, Floats]:
    return step(fraction(at.u * 2.2 + 0.04 * lumps(at.u, at.v)), 0.5), 1 + 0.05 * lumps(at.u * 6, at.v * 4)


def _sand(at: Coordinates) -> tuple[Floats, Floats]:
    ripple = np.sin(at.v * 9 + 1.3 * lumps(at.u * 0.35, at.v * 0.35))
    return np.clip(0.4 + 0.3 * lumps(at.u * 0.3, at.v * 0.5), 0, 1), 1 + 0.035 * ripple + 0.03 * lumps(
        at.u * 8, at.v * 8
    )


def _asphalt(at: Coordinates) -> tuple[Floats, Floats]:
    return np.zeros_like(at.u), 1 + 0.05 * lumps(at.u * 10, at.v * 10) + 0.05 * lumps(at.u * 0.5, at.v * 0.8)


def _water(at: Coordinates) -> tuple[Floats, Floats]:
    swell = lumps(at.u * 0.6, at.v * 2.4)
    return np.clip(0.9 * lumps(at.u * 1.2 + 9, at.v * 4.5) - 0.75, 0, 1), 1 + 0.06 * swell


PATTERNS: dict[Texture, Pattern] = {
    Texture.PLAIN: _plain,
    Texture.LEAVES: _leaves,
    Texture.NEEDLES: _needles,
    Texture.BRICK: _brick,
    Texture.PLANKS: _planks,
    Texture.BOARDS: _boards,
    Texture.TILES: _tiles,
    Texture.SLATE: _slate,
    Texture.THATCH: _thatch,
    Texture.STRIPES: _stripes,
    Texture.BANDS: _bands,
    Texture.DOTS: _dots,
    Texture.CHECKS: _checks,
    Texture.ZIGZAG: _zigzag,
    Texture.GORES: _gores,
    Texture.SPOTS: _spots,
    Texture.WOOL: _wool,
    Texture.BLOOMS: _blooms,
    Texture.STONE: _stone,
    Texture.ROCK: _rock,
    Texture.GRASS: _grass,
    Texture.FLOWERS: _flowers,
    Texture.LITTER: _litter,
    Texture.FURROWS: _furrows,
    Texture.SAND: _sand,
    Texture.ASPHALT: _asphalt,
    Texture.WATER: _water,
    Texture.PAVING: _paving,
    Texture.SPIKES: _spikes,
    Texture.CLUSTERS: _clusters,
    Texture.LENTICELS: _lenticels,
}
"""Functions from coordinates to (share of the second colour, brightness factor), each (N,)."""
