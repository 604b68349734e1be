"""A pen that draws one standing thing, in metres relative to its foot: x to the right, y up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from stencilnet.scenes.mood import Mood
from stencilnet.scenes.sketch import Material, Point, Sketch

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


@dataclass(frozen=True, kw_only=True)
class Pen:
    """Draws one standing thing with its foot at (x, y) in world coordinates, at `scale` world units per metre."""

    sketch: Sketch
    x: float
    y: float
    scale: float
    haze: float
    rng: Random
    mood: Mood
    mirror: int = 1
    """-1 draws the thing facing the other way."""

    def polygon(self, points: Sequence[Point], material: Material, casts: bool = False) -> None:
        """Draw a polygon, with a shadow on the ground if `casts`."""
        xs = [self.x + self.mirror * self.scale * px for px, _ in points]
        ys = [self.y - self.scale * py for _, py in points]
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        box = ((left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2)
        self.sketch.add(list(zip(xs, ys, strict=True)), material, box, (self.mirror, self.scale), self.haze, self.scale)
        if casts:
            self.cast(points)

    def cast(self, points: Sequence[Point]) -> None:
        """Draw only the shadow of a polygon on the ground."""
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
        """Draw an upright rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], material, casts)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, material: Material, casts: bool = False) -> None:
        """Draw an ellipse, given its centre and semi-axes."""
        self.polygon([(cx + rx * c, cy + ry * s) for c, s in _CIRCLE], material, casts)

    def blob(self, cx: float, cy: float, rx: float, ry: float, material: Material, casts: bool = False) -> None:
        """Draw an ellipse with a bumpy edge (foliage, wool)."""
        outline = _BUMPY[int(self.rng.random() * len(_BUMPY))]
        self.polygon([(cx + rx * c, cy + ry * s) for c, s in outline], material, casts)

    def line(self, start: Point, end: Point, thickness: float, material: Material, casts: bool = False) -> None:
        """Draw a straight bar of the given thickness."""
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
