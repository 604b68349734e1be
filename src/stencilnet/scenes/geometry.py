"""How far away and how turned is what each pixel of a scene shows, as pictures.

A scene is a stage: an even ground seen in perspective, upright things on it, hills as a backdrop. What is measured is
what is drawn from: things are as large, and shaded, as is said here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stencilnet.scenes.noise import Floats
from stencilnet.scenes.render import facing, majority, rasterise, table_of, within_box
from stencilnet.scenes.sketch import Sketch, metre

NEAREST = 6.0
"""Distance in metres that is 255 in a depth map."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Depth and normals of a scene: at each pixel's middle, of the part that covers most of it."""

    depth: npt.NDArray[np.uint8]
    """(H, W), ``255 * NEAREST / distance``; 0 is the sky.

    Distances are along the view, in metres, for a focal length of the picture's shorter side: on the ground they follow
    from the row, 29.4 at the horizon and 6.3 at the lower edge. A thing is flat and as far as its foot, a balloon as
    far as its size says; hills stand behind the horizon, at distances that no more than their order is true of."""
    normals: npt.NDArray[np.uint8]
    """(H, W, 3), ``255 * (n + 1) / 2`` of unit vectors: x right, y up, z towards the viewer; the sky, without one, is
    128.

    The ground looks straight up, also where textures show waves or furrows. Those of things are what they are shaded
    by: the flat parts face the viewer or as their walls and roofs are tilted, the round ones bulge."""


def survey(sketch: Sketch, size: tuple[int, int]) -> Geometry:
    """Measure a scene at a size, height and width in pixels."""
    view, table = rasterise(sketch, size), table_of(sketch)
    numbers, large = table.numbers, (view.rows, view.columns)
    parts = majority(view.parts.reshape(large)).ravel()
    place_x, place_y = (_halved(place.reshape(large)).ravel() for place in (view.x, view.y))
    ground, sky = numbers[15].take(parts) < 0, parts == 0
    s = np.maximum(place_y - sketch.horizon, 0) / (sketch.height - sketch.horizon)
    near = np.where(ground, metre(s), numbers[17].take(parts))
    x, y = within_box(table, parts, place_x - numbers[6].take(parts), place_y - numbers[7].take(parts))
    right, down, towards = facing(table, parts, x, y)
    normals = np.stack([np.where(ground, 0, right), np.where(ground, 1, -down), np.where(ground, 0, towards)])
    unit = np.where(sky, 0, normals / np.linalg.norm(normals, axis=0))
    return Geometry(depth=_levels(NEAREST * near).reshape(size), normals=_levels((unit.T + 1) / 2).reshape(*size, 3))


def _halved(large: Floats) -> Floats:
    return np.asarray(0.25 * (large[::2, ::2] + large[1::2, ::2] + large[::2, 1::2] + large[1::2, 1::2]))


def _levels(share: Floats) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(share, 0, 1) * 255 + 0.5, dtype=np.uint8)
