"""Depth and surface normals of each pixel of a scene, as pictures.

A scene is a stage: flat ground in perspective, upright things on it, hills as a backdrop. The drawing uses the same
geometry: the sizes and the shading of things agree with it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stencilnet.scenes.noise import Floats
from stencilnet.scenes.render import facing, majority, rasterise, table_of, within_box
from stencilnet.scenes.sketch import Sketch, metre

NEAREST = 6.0
"""Distance in metres that has the value 255 in a depth map."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Depth and normals of a scene, at each pixel's centre, of the part that covers most of the pixel."""

    depth: npt.NDArray[np.uint8]
    """(H, W), ``255 * NEAREST / distance``; 0 is the sky.

    Distances are along the viewing direction, in metres, for a focal length equal to the picture's shorter side. On the
    ground they depend on the row: 29.4 at the horizon and 6.3 at the lower edge. A thing is flat and at the distance of
    its foot; a balloon's distance follows from its size; hills are behind the horizon, and only their order is
    realistic."""
    normals: npt.NDArray[np.uint8]
    """(H, W, 3), ``255 * (n + 1) / 2`` of unit vectors n: x right, y up, z towards the viewer. The sky has no normal
    and is 128.

    The ground's normal points straight up, even where its texture shows waves or furrows. Normals of things are those
    used for shading: flat parts face the viewer or are tilted like their wall or roof; round parts are curved."""


def survey(sketch: Sketch, size: tuple[int, int]) -> Geometry:
    """Compute the geometry of a scene at a size (height, width) in pixels."""
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
