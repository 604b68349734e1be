"""Edge drawings of photos: Canny's detector, thinned to lines one pixel wide (Canny 1986; Guo and Hall 1989).

Computed in NumPy in a fixed order of operations, so that a photo gives the same drawing on every machine.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stencilnet.pictures.images import Floats

Bits: TypeAlias = npt.NDArray[np.bool_]

_TAN_22_5 = 0.41421356


def find_edges(gray: Floats, *, sigma: float, low: float, high: float) -> Bits:
    """Find the edges of a gray image.

    Args:
        gray: ``(H, W)`` in [0, 1].
        sigma: Standard deviation of the Gaussian smoothing, in pixels.
        low: Lower hysteresis threshold on contrast; an unsmoothed step of height h has contrast h.
        high: Upper hysteresis threshold on contrast; at least `low`.

    Returns:
        ``(H, W)`` bool, true on lines one pixel wide; false on the outermost pixels.
    """
    slope_y, slope_x = _slopes(_smooth(gray, sigma))
    contrast = np.hypot(slope_y, slope_x)
    crest = _crest(contrast, slope_y, slope_x)
    return thin(follow(crest & (contrast >= low), crest & (contrast >= high)))


def _smooth(gray: Floats, sigma: float) -> Floats:
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    return _smooth_down(_smooth_down(gray, weights).T, weights).T


def _smooth_down(gray: Floats, weights: Floats) -> Floats:
    padded = np.pad(gray, ((len(weights) // 2,) * 2, (0, 0)), mode="edge")
    smooth = np.zeros_like(gray)
    for offset, weight in enumerate(weights):
        smooth += weight * padded[offset : offset + len(gray)]
    return smooth


def _slopes(gray: Floats) -> tuple[Floats, Floats]:
    """Return the Sobel gradients (down, right) divided by 4: an unsmoothed step of height h has slope h."""
    padded = np.pad(gray, 1, mode="edge")
    across = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    down = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return np.asarray(across[2:] - across[:-2], np.float32), np.asarray(down[:, 2:] - down[:, :-2], np.float32)


def _crest(contrast: Floats, slope_y: Floats, slope_x: Floats) -> Bits:
    """Suppress all but the maxima along the gradient, quantised to four directions (non-maximum suppression).

    Of two equal neighbours (both sides of a step) only one is kept, hence > on one side and >= on the other.
    """
    steep_y, steep_x = np.abs(slope_y), np.abs(slope_x)
    flat, upright = steep_y <= _TAN_22_5 * steep_x, steep_x <= _TAN_22_5 * steep_y
    falling = (slope_y > 0) == (slope_x > 0)
    padded = np.pad(contrast, 1)

    def higher(down: int, right: int) -> Bits:
        height, width = contrast.shape
        ahead = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        behind = padded[1 - down : 1 - down + height, 1 - right : 1 - right + width]
        return np.asarray((contrast > ahead) & (contrast >= behind))

    diagonal = np.where(falling, higher(1, 1), higher(1, -1))
    crest = np.where(flat, higher(0, 1), np.where(upright, higher(1, 0), diagonal))
    crest[[0, -1], :] = False
    crest[:, [0, -1]] = False
    return crest


def follow(weak: Bits, strong: Bits) -> Bits:
    """Keep the weak pixels that are connected to a strong one through weak pixels (hysteresis).

    Each iteration visits only the newly added pixels, so the cost grows with the length of the lines.
    """
    width = weak.shape[1]
    left = weak.ravel().copy()
    kept = np.zeros_like(left)
    front = np.flatnonzero(strong)
    steps = np.array([dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    left[front] = False
    while front.size:
        kept[front] = True
        # No weak pixel lies on the outermost rows and columns, so no neighbour is outside the image.
        reached = (front[:, None] + steps).ravel()
        front = np.unique(reached[left[reached]])
        left[front] = False
    return kept.reshape(weak.shape)


def thin(lines: Bits) -> Bits:
    """Thin lines to a width of one pixel, preserving connectivity (Guo and Hall 1989, algorithm A1)."""
    lines = lines.copy()
    while True:
        before = int(lines.sum())
        for first in (True, False):
            lines &= ~_removable(lines, first=first)
        if int(lines.sum()) == before:
            return lines


def _removable(lines: Bits, *, first: bool) -> Bits:
    padded = np.pad(lines, 1)
    height, width = lines.shape

    def at(down: int, right: int) -> Bits:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    north, east, south, west = at(-1, 0), at(0, 1), at(1, 0), at(0, -1)
    north_east, south_east, south_west, north_west = at(-1, 1), at(1, 1), at(1, -1), at(-1, -1)
    pairs_clear = [
        (~north, north_east | east),
        (~east, south_east | south),
        (~south, south_west | west),
        (~west, north_west | north),
    ]
    crossings = sum((clear & follows).astype(np.int8) for clear, follows in pairs_clear)
    one_way = [north_west | north, north_east | east, south_east | south, south_west | west]
    other_way = [north | north_east, east | south_east, south | south_west, west | north_west]
    neighbours = np.minimum(
        sum(pair.astype(np.int8) for pair in one_way), sum(pair.astype(np.int8) for pair in other_way)
    )
    north_east_border = (north | north_east | ~south_east) & east
    south_west_border = (south | south_west | ~north_west) & west
    border = north_east_border if first else south_west_border
    return np.asarray(lines & (crossings == 1) & (neighbours >= 2) & (neighbours <= 3) & ~border)
