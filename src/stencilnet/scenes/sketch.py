"""A scene as a list of flat parts, far to near, independent of resolution; `render` draws it later.

World coordinates: the shorter side of the picture is 1, x to the right, y down. It is plain Python on purpose: shapes
have a dozen points, for which NumPy is slower.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from stencilnet.scenes.noise import Floats
from stencilnet.scenes.spaces import Fine
from stencilnet.scenes.textures import Texture

Of = TypeVar("Of", float, Floats)
Colour = tuple[float, float, float]
Point = tuple[float, float]

HAZE_MOST = 0.55
"""Share of haze at the horizon."""
HAZE_FALL = 11.0
"""Exponential decay rate of the haze with the distance below the horizon, per world unit."""
NEAR_HORIZON = 0.034
"""World units per metre at the horizon."""
NEAR_FALL = 0.125
"""Increase of world units per metre from the horizon to the picture's lower edge."""


def metre(s: Of) -> Of:
    """Return world units per metre on the ground at s, from 0 at the horizon to 1 at the picture's lower edge.

    The inverse is the distance in metres, for a focal length equal to the picture's shorter side. The value is linear
    in the row, as for a plane in perspective.
    """
    return NEAR_HORIZON + NEAR_FALL * s


def rgb(code: str) -> Colour:
    """Return the colour of a "#rrggbb" code, each channel in [0, 1]."""
    return int(code[1:3], 16) / 255, int(code[3:5], 16) / 255, int(code[5:7], 16) / 255


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend `first` with a `share` of `second`."""
    rest = 1 - share
    return (
        rest * first[0] + share * second[0],
        rest * first[1] + share * second[1],
        rest * first[2] + share * second[2],
    )


def gain(colour: Colour, factor: float) -> Colour:
    """Return `colour` times `factor`; values above 1 are clipped later, when the scene is rendered."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def vary(colour: Colour, rng: Random, amount: float = 0.06) -> Colour:
    """Return `colour` with a small random change of its brightness and of each channel."""
    common = 1 + amount * (2 * rng.random() - 1)
    own = 0.5 * amount
    return (
        colour[0] * common * (1 + own * (2 * rng.random() - 1)),
        colour[1] * common * (1 + own * (2 * rng.random() - 1)),
        colour[2] * common * (1 + own * (2 * rng.random() - 1)),
    )


def rounded(points: Sequence[Point]) -> list[Point]:
    """Return a closed polygon with its corners cut (one step of Chaikin's scheme)."""
    cut = []
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        cut += [(0.75 * ax + 0.25 * bx, 0.75 * ay + 0.25 * by), (0.25 * ax + 0.75 * bx, 0.25 * ay + 0.75 * by)]
    return cut


@dataclass(frozen=True, kw_only=True)
class Material:
    """Class, colours, texture and shape of a part."""

    label: Fine
    colour: Colour
    second: Colour = (1.0, 1.0, 1.0)
    """Second colour of the texture (mortar, the second stripe, ...)."""
    texture: Texture = Texture.PLAIN
    grain: float = 1.0
    """Period of the texture in metres."""
    bulge: Point = (0.0, 0.0)
    """How far the normal turns towards the left/right and top/bottom edges: (1, 1) is a ball, (1, 0) a column."""
    tilt: Point = (0.0, 0.0)
    """Normal at the part's centre (x right, y down): a roof faces up, (0, -.5)."""
    glow: float = 0.0
    """Share of the colour that is emitted rather than lit (lit windows)."""


@dataclass(kw_only=True)
class Sketch:
    """Parts in the order of painting. Part 0 is the sky: it has no polygon and is where no part is."""

    width: float
    height: float
    horizon: float
    """Row where the ground ends and the sky begins."""
    shadow: Point
    """Tip of the shadow of a 1 m pole, in metres (x right, y up)."""
    polygons: list[list[Point]] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)
    shadows: list[list[Point]] = field(default_factory=list)

    def ground(self, points: list[Point], material: Material) -> None:
        """Add a part of the ground, textured in perspective and receiving shadows, in world coordinates."""
        self.add(points, material, (0.0, 0.0, 1.0, 1.0), (1, 1.0), haze=-1.0, near=0.0)

    def add(
        self,
        points: list[Point],
        material: Material,
        box: tuple[float, float, float, float],
        scale: tuple[int, float],
        haze: float,
        near: float,
    ) -> None:
        """Add a part with its box (centre and half sides, for texture and shading), all in world coordinates.

        `scale` is (-1 if mirrored else 1, world units per metre). `haze` is the share of haze in front of the part; a
        negative value marks the ground, whose haze depends on the row. `near` is one over the part's distance in
        metres; it is not used for the ground (see `metre`).
        """
        self.polygons.append(points)
        self.rows.append(
            (
                *material.colour,
                *material.second,
                box[0],
                box[1],
                1 / max(box[2], 1e-4),
                1 / max(box[3], 1e-4),
                *material.bulge,
                material.tilt[0] * scale[0],
                material.tilt[1],
                1 / (material.grain * scale[1]),
                haze,
                material.glow,
                material.label,
                material.texture,
                near,
            )
        )
