"""The draft of a scene: positions and distances of its things."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from stencilnet.scenes.mood import Mood
from stencilnet.scenes.pen import Pen
from stencilnet.scenes.sketch import HAZE_FALL, HAZE_MOST, Material, Sketch, metre

Draw = Callable[[Pen], None]
GroundLine = Callable[[float], float]
"""A line across the ground: maps x / width to s."""


def level(s: float) -> GroundLine:
    """Return the horizontal line at s."""
    return lambda _: s


def sloping(s: float, tilt: float) -> GroundLine:
    """Return a straight, sloping line that passes through s in the middle of the picture."""
    return lambda t: s + tilt * (t - 0.5)


@dataclass(kw_only=True)
class SceneDraft:
    """The draft of a scene.

    Positions on the ground are (x, s): x in world coordinates, s from 0 at the horizon to 1 at the picture's lower
    edge.
    """

    rng: Random
    mood: Mood
    sketch: Sketch
    things: list[tuple[float, Draw, float]] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)

    def row(self, s: float) -> float:
        """Return the world y of the ground at s."""
        return self.sketch.horizon + (self.sketch.height - self.sketch.horizon) * s

    def metre(self, s: float) -> float:
        """Return world units per metre at s."""
        return metre(s)

    def put(self, draw: Draw, s: float, x: float, half: float) -> None:
        """Place a thing of half width `half` metres."""
        self.things.append((s, draw, x))
        self.taken.append((s, x, half * self.metre(s)))

    def scatter(
        self, draws: tuple[Draw, ...], count: float, near: tuple[float, float], half: float, crowd: float = 0.75
    ) -> None:
        """Place about `count` things (per unit of width) between two depths, where there is room.

        `crowd` is the smallest distance of neighbours at similar depth, as a share of their summed half widths.
        """
        rng = self.rng
        total = count * max(self.sketch.width, 0.7)
        for _ in range(int(total) + (rng.random() < total % 1)):
            draw = draws[int(rng.random() * len(draws))]
            for _ in range(8):
                s = near[0] + (near[1] - near[0]) * rng.random()
                x = self.sketch.width * (0.04 + 0.92 * rng.random())
                if self.free(s, x, half * self.metre(s), crowd):
                    self.put(draw, s, x, half)
                    break

    def free(self, s: float, x: float, half: float, crowd: float) -> bool:
        """Return whether no thing at similar depth is there."""
        return all(abs(s - t) > 0.16 or abs(x - z) > crowd * (half + other) for t, z, other in self.taken)

    def draw_things(self) -> None:
        """Draw the placed things, far to near."""
        for s, draw, x in sorted(self.things, key=lambda thing: thing[0]):
            draw(self.pen(x, s))

    def pen(self, x: float, s: float) -> Pen:
        """Return a pen for a thing on the ground at (x, s), facing left or right at random."""
        return Pen(
            sketch=self.sketch,
            x=x,
            y=self.row(s),
            scale=self.metre(s),
            haze=HAZE_MOST * math.exp(-HAZE_FALL * max(self.row(s) - self.sketch.horizon, 0)),
            rng=self.rng,
            mood=self.mood,
            mirror=1 if self.rng.random() < 0.5 else -1,
        )

    def strip(self, upper: GroundLine, lower: GroundLine, material: Material) -> None:
        """Draw the part of the ground between two lines, each giving s for x / width in [0, 1]."""
        steps = [k / 20 for k in range(-1, 22)]
        width = self.sketch.width
        points = [(t * width, self.row(upper(t))) for t in steps]
        self.sketch.ground(points + [(t * width, self.row(lower(t))) for t in reversed(steps)], material)

    def wave(self, middle: float, amplitude: float, tilt: float = 0.0) -> GroundLine:
        """Return a gently winding line around s = `middle`."""
        first, second = self.rng.random() * math.tau, self.rng.random() * math.tau
        return lambda t: (
            middle
            + tilt * (t - 0.5)
            + amplitude * (0.65 * math.sin(4.1 * t + first) + 0.35 * math.sin(9.7 * t + second))
        )
