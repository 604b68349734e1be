"""Recording of a scene as flat parts, far to near: resolution-independent, drawn later by `render`.

World coordinates: the shorter side of the picture is 1, x to the right, y down. Plain Python on purpose: shapes have a
dozen points, where NumPy costs more.
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
"""How fast it falls with the distance below the horizon, in world units."""
NEAR_HORIZON = 0.034
"""World units per metre where the ground ends."""
NEAR_FALL = 0.125
"""How many more there are at the picture's lower edge."""


def metre(s: Of) -> Of:
    """World units per metre on the ground, s from 0 at the horizon to 1 at the picture's lower edge.

    Its inverse is the distance in metres, for a focal length of the picture's shorter side: it falls linearly by row,
    as that of a plane in perspective does.
    """
    return NEAR_HORIZON + NEAR_FALL * s


def rgb(code: str) -> Colour:
    """Colour of a "#rrggbb" code, each channel in [0, 1]."""
    return int(code[1:3], 16) / 255, int(code[3:5], 16) / 255, int(code[5:7], 16) / 255


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` of `second` blended in."""
    rest = 1 - share
    return (
        rest * first[0] + share * second[0],
        rest * first[1] + share * second[1],
        rest * first[2] + share * second[2],
    )


def gain(colour: Colour, factor: float) -> Colour:
    """`colour` times `factor`; values above 1 are cut when the scene is shaded, not here."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def vary(colour: Colour, rng: Random, amount: float = 0.06) -> Colour:
    """`colour` with a small random change of brightness and of each channel."""
    common = 1 + amount * (2 * rng.random() - 1)
    own = 0.5 * amount
    return (
        colour[0] * common * (1 + own * (2 * rng.random() - 1)),
        colour[1] * common * (1 + own * (2 * rng.random() - 1)),
        colour[2] * common * (1 + own * (2 * rng.random() - 1)),
    )


def rounded(points: Sequence[Point]) -> list[Point]:
    """A closed polygon with its corners cut (one step of Chaikin's scheme)."""
    cut = []
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        cut += [(0.75 * ax + 0.25 * bx, 0.75 * ay + 0.25 * by), (0.25 * ax + 0.75 * bx, 0.25 * ay + 0.75 * by)]
    return cut


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a part is made of."""

    label: Fine
    colour: Colour
    second: Colour = (1.0, 1.0, 1.0)
    """The other colour of the texture (mortar, the second stripe, ...)."""
    texture: Texture = Texture.PLAIN
    grain: float = 1.0
    """Period of the texture in metres."""
    bulge: Point = (0.0, 0.0)
    """How far the normal turns to the left/right and top/bottom edges: (1, 1) is a ball, (1, 0) a column."""
    tilt: Point = (0.0, 0.0)
    """Normal at the part's middle (x right, y down): a roof looks up, (0, -.5)."""
    glow: float = 0.0
    """Share of the colour that needs no light (lit windows)."""


@dataclass(kw_only=True)
class Sketch:
    """Parts in the order of painting. Part 0 is the sky, which has no polygon: it is what nothing covers."""

    width: float
    height: float
    horizon: float
    """Row where the ground ends and the sky begins."""
    shadow: Point
    """Where the tip of a 1 m pole's shadow lies, in metres (x right, y up)."""
    polygons: list[list[Point]] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)
    shadows: list[list[Point]] = field(default_factory=list)

    def ground(self, points: list[Point], material: Material) -> None:
        """A part that lies on the ground: textured in perspective, takes shadows. World coordinates."""
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
        """A part with its box (centre and half sides, for texture and shading), all in world coordinates.

        `scale` is (-1 if mirrored else 1, world units per metre). `haze` is the share of haze in front of the part;
        negative marks the ground, where it follows from the row. `near` is one over the part's distance in metres, for
        all but the ground (see `metre`).
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
