"""Recording of a scene as flat parts, far to near: resolution-independent, drawn later by `render`.

World coordinates: the shorter side of the picture is 1, x to the right, y down. A `Pen` draws one standing thing in
metres around its foot (x to the right, y up). Plain Python on purpose: shapes have a dozen points, where NumPy costs more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from stencilnet.data.scenes.spaces import Fine
from stencilnet.data.scenes.textures import Texture

Colour = tuple[float, float, float]
Point = tuple[float, float]

_CIRCLE: tuple[Point, ...] = tuple((math.cos(math.tau * k / 26), math.sin(math.tau * k / 26)) for k in range(26))
_BUMPY: tuple[tuple[Point, ...], ...] = tuple(
    tuple(
        (c * (1 + bump), s * (1 + bump))
        for k, (c, s) in enumerate(_CIRCLE)
        for bump in [0.07 * math.sin(math.tau * 5 * k / 26 + n) + 0.06 * math.sin(math.tau * 9 * k / 26 + 2.3 * n * n)]
    )
    for n in range(24)
)
"""Circles with bumpy edges."""


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
    """How far the surface normal turns towards the part's left/right and top/bottom edges: (1, 1) is a ball, (1, 0) a column."""
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
        self.add(points, material, (0.0, 0.0, 1.0, 1.0), (1, 1.0), haze=-1.0)

    def add(
        self,
        points: list[Point],
        material: Material,
        box: tuple[float, float, float, float],
        scale: tuple[int, float],
        haze: float,
    ) -> None:
        """A part with its box (centre and half sides, for texture and shading), all in world coordinates.

        `scale` is (-1 if mirrored else 1, world units per metre). `haze` is the share of haze in front of the part;
        negative marks the ground, where it follows from the row.
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
            )
        )


@dataclass(frozen=True, kw_only=True)
class Pen:
    """Draws one standing thing: foot at (x, y) in world coordinates, `scale` world units per metre."""

    sketch: Sketch
    x: float
    y: float
    scale: float
    haze: float
    mirror: int = 1
    """-1 draws the thing facing the other way."""

    def polygon(self, points: Sequence[Point], material: Material, casts: bool = False) -> None:
        """A polygon; `casts` also gives it a shadow on the ground."""
        xs = [self.x + self.mirror * self.scale * px for px, _ in points]
        ys = [self.y - self.scale * py for _, py in points]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        box = ((left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2)
        self.sketch.add(list(zip(xs, ys, strict=True)), material, box, (self.mirror, self.scale), self.haze)
        if casts:
            self.cast(points)

    def cast(self, points: Sequence[Point]) -> None:
        """The shadow of a polygon on the ground, without the polygon."""
        along, up = self.sketch.shadow
        self.sketch.shadows.append(
            [
                (self.x + self.scale * (self.mirror * px + along * py), self.y - self.scale * up * py)
                for px, py in points
            ]
        )

    def box(
        self, left: float, bottom: float, right: float, top: float, material: Material, casts: bool = False
    ) -> None:
        """An upright rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], material, casts)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, material: Material, casts: bool = False) -> None:
        """An ellipse with its centre and half sides."""
        self.polygon([(cx + rx * c, cy + ry * s) for c, s in _CIRCLE], material, casts)

    def blob(
        self, cx: float, cy: float, rx: float, ry: float, material: Material, rng: Random, casts: bool = False
    ) -> None:
        """An ellipse with a bumpy edge (foliage, wool)."""
        outline = _BUMPY[int(rng.random() * len(_BUMPY))]
        self.polygon([(cx + rx * c, cy + ry * s) for c, s in outline], material, casts)

    def line(self, start: Point, end: Point, thickness: float, material: Material, casts: bool = False) -> None:
        """A straight bar of the given thickness."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        norm = 0.5 * thickness / max(math.hypot(dx, dy), 1e-6)
        ox, oy = -dy * norm, dx * norm
        self.polygon(
            [
                (start[0] + ox, start[1] + oy),
                (end[0] + ox, end[1] + oy),
                (end[0] - ox, end[1] - oy),
                (start[0] - ox, start[1] - oy),
            ],
            material,
            casts,
        )
