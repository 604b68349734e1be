"""A style picture that is computed pixel by pixel: stained glass.

Coordinates: the shorter side of the picture is 1, x to the right, y down. Colours are (..., 3) in [0, 1].
"""

import numpy as np

from stencilnet.scenes.noise import Floats, cell_noise, clouds, fraction
from stencilnet.scenes.sketch import rgb

_PANES = ("#c4262e", "#1d4fa3", "#f2b632", "#17805a", "#e8dfc0", "#7a2e82", "#2e9fc9", "#e2702a", "#8fb84a", "#123a6b")
_LEAD = "#15161a"
_PANES_PER_SIDE = 13


def glass(x: Floats, y: Floats) -> Floats:
    """Return stained glass: panes of saturated colours, uneven in brightness, between dark strips of lead."""
    warp = 0.35 * clouds(x * 0.7 + 3, y * 0.7)
    u, v = _PANES_PER_SIDE * x + warp, _PANES_PER_SIDE * y - warp
    nearest, second, pane = np.full_like(u, 9), np.full_like(u, 9), np.zeros_like(u)
    for right in (-1, 0, 1):
        for down in (-1, 0, 1):
            column, row = np.floor(u) + right, np.floor(v) + down
            across, along = (cell_noise(column + shift, row) for shift in (0, 101))
            distance = np.hypot(u - column - across, v - row - along)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            nearest = np.where(closer, distance, nearest)
            pane = np.where(closer, cell_noise(column + 211, row), pane)
    colours = np.array([rgb(code) for code in _PANES], np.float32)
    lit = 0.95 + 0.09 * clouds(x * 2, y * 2) + 0.5 * (fraction(pane * 97) - 0.5) - 0.25 * nearest
    panes = colours[(pane * len(_PANES)).astype(np.intp)] * lit[..., None]
    lead = np.clip(1.5 - 12 * (second - nearest), 0, 1)[..., None]
    return np.asarray(panes + lead * (np.array(rgb(_LEAD), np.float32) - panes), dtype=np.float32)
