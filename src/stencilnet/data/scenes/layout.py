"""Composition: which ground, which things, where. A pure function of the random generator and the picture's shape."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from stencilnet.data.scenes import buildings, figures, plants, props
from stencilnet.data.scenes.mood import Mood, draw_mood
from stencilnet.data.scenes.sketch import Colour, Material, Pen, Point, Sketch, gain, mix, rgb, vary
from stencilnet.data.scenes.spaces import Fine
from stencilnet.data.scenes.textures import Texture

Draw = Callable[[Pen, Random, Mood], None]


@dataclass(kw_only=True)
class Stage:
    """A scene in the making.

    Places on the ground are (x, s): x in world coordinates, s from 0 at the horizon to 1 at the picture's lower edge.
    """

    rng: Random
    mood: Mood
    sketch: Sketch
    things: list[tuple[float, Draw, float]] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)

    def row(self, s: float) -> float:
        """World y of the ground at s."""
        return self.sketch.horizon + (self.sketch.height - self.sketch.horizon) * s

    def metre(self, s: float) -> float:
        """World units per metre at s."""
        return 0.034 + 0.125 * s

    def put(self, draw: Draw, s: float, x: float, half: float) -> None:
        """Place a thing of half width `half` metres."""
        self.things.append((s, draw, x))
        self.taken.append((s, x, half * self.metre(s)))

    def scatter(
        self, draws: tuple[Draw, ...], count: float, near: tuple[float, float], half: float, crowd: float = 0.75
    ) -> None:
        """Place about `count` things (per unit of width) between two depths, where there is room.

        `crowd` is the share of the two half widths that neighbours of like depth keep apart.
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
        """Whether no thing of like depth stands there."""
        return all(abs(s - t) > 0.16 or abs(x - z) > crowd * (half + other) for t, z, other in self.taken)

    def draw_things(self) -> None:
        """Draw what was placed, far to near."""
        for s, draw, x in sorted(self.things, key=lambda thing: thing[0]):
            draw(self.pen(x, self.row(s), self.metre(s), s), self.rng, self.mood)

    def pen(self, x: float, y: float, scale: float, s: float) -> Pen:
        """A pen for a thing at s, facing left or right."""
        haze = 0.55 * math.exp(-11 * max(self.row(s) - self.sketch.horizon, 0))
        return Pen(sketch=self.sketch, x=x, y=y, scale=scale, haze=haze, mirror=1 if self.rng.random() < 0.5 else -1)

    def strip(self, upper: Callable[[float], float], lower: Callable[[float], float], material: Material) -> None:
        """A part of the ground between two lines, each giving s for x / width in [0, 1]."""
        steps = [k / 20 for k in range(-1, 22)]
        width = self.sketch.width
        points = [(t * width, self.row(upper(t))) for t in steps]
        self.sketch.ground(points + [(t * width, self.row(lower(t))) for t in reversed(steps)], material)

    def wave(self, middle: float, amplitude: float, tilt: float = 0.0) -> Callable[[float], float]:
        """A gently winding line around s = `middle`."""
        first, second = self.rng.random() * math.tau, self.rng.random() * math.tau
        return lambda t: (
            middle
            + tilt * (t - 0.5)
            + amplitude * (0.65 * math.sin(4.1 * t + first) + 0.35 * math.sin(9.7 * t + second))
        )


def compose(rng: Random, width: float, height: float) -> tuple[Sketch, Mood]:
    """A random scene on a canvas of `width` x `height` world units."""
    mood = draw_mood(rng)
    kind = rng.choices((_meadow, _coast, _lake, _town, _farm), (0.2, 0.25, 0.17, 0.22, 0.16))[0]
    horizon = height * (0.34 + 0.14 * rng.random())
    stage = Stage(rng=rng, mood=mood, sketch=Sketch(width=width, height=height, horizon=horizon, shadow=mood.shadow))
    kind(stage)
    stage.draw_things()
    return stage.sketch, mood


def _hills(stage: Stage, count: int, tall: float) -> None:
    """Ridges behind the ground, hazier and bluer with the distance; high ones are rock with snow."""
    rng, sketch, light = stage.rng, stage.sketch, stage.mood.light
    for layer in range(count):
        share = layer / max(count - 1, 1)
        rise = tall * (1 - 0.6 * share) * (0.8 + 0.4 * rng.random())
        rocky = rise > 0.13
        first, second, third = (rng.random() * math.tau for _ in range(3))
        points: list[Point] = [(-0.05, sketch.horizon + 0.02)]
        for k in range(33):
            t = k / 32
            bump = 0.5 + 0.3 * math.sin(5.3 * t + first) + 0.2 * math.sin(11.9 * t + second)
            if rocky:
                bump += 0.16 * abs(((t * 6 + third) % 2) - 1) - 0.08 + 0.1 * abs(((t * 13 + second) % 2) - 1)
            points.append((t * (sketch.width + 0.1) - 0.05, sketch.horizon - rise * max(bump, 0.12)))
        points.append((sketch.width + 0.05, sketch.horizon + 0.02))
        green = mix(stage.mood.season.leaves[-1], stage.mood.season.grass[0], 0.5)
        base = rgb("#7d8296") if rocky else gain(green, 0.82)
        material = Material(
            label=Fine.BACKGROUND,
            colour=vary(base, rng),
            second=rgb("#f4f6fa") if rocky else gain(base, 1.12),
            texture=Texture.ROCK,
            grain=0.05,
        )
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        box = (sum(xs) / len(xs), (min(ys) + max(ys)) / 2, 0.6, max((max(ys) - min(ys)) / 2, 0.01))
        haze = 0.72 - 0.3 * share if light.lamps < 1 else 0.6 - 0.2 * share
        sketch.add(points, material, box, (1, 1.0), haze)


def _grass(stage: Stage, upper: Callable[[float], float] = lambda t: -0.02) -> None:
    season, rng = stage.mood.season, stage.rng
    first, second = season.grass
    specks = season.ground is not Texture.GRASS
    material = Material(
        label=Fine.GRASS,
        colour=vary(mix(first, second, 0.35 if specks else 0.0), rng),
        second=rng.choice(season.specks),
        texture=season.ground,
        grain=0.55,
    )
    stage.strip(upper, lambda t: 1.05, material)


def _fields(stage: Stage) -> None:
    """Ploughed and sown fields near the horizon: rows tell the crop."""
    rng, width = stage.rng, stage.sketch.width
    crops: tuple[tuple[Colour, Colour], ...] = (
        (rgb("#d9b84f"), rgb("#c09a3c")),
        (rgb("#8b6844"), rgb("#6f5034")),
        (rgb("#6fa94a"), rgb("#4f8a3c")),
        (rgb("#e3cf3f"), rgb("#86ad3f")),
    )
    x = -0.1 * rng.random()
    while x < width:
        wide, (first, second) = 0.22 + 0.3 * rng.random(), rng.choice(crops)
        low, skew = 0.1 + 0.13 * rng.random(), 0.25 * (rng.random() - 0.3)
        material = Material(
            label=Fine.GRASS, colour=vary(first, rng), second=second, texture=Texture.FURROWS, grain=0.5
        )
        if rng.random() < 0.75:
            top = stage.row(-0.01)
            points = [(x, top), (x + wide, top), (x + wide + skew, stage.row(low)), (x + skew, stage.row(low * 0.9))]
            stage.sketch.ground(points, material)
        x += wide + 0.03


def _water(stage: Stage, upper: Callable[[float], float], lower: Callable[[float], float]) -> None:
    light = stage.mood.light
    tint = mix(rgb("#2f7fa8"), light.middle, 0.45)
    foam = mix(rgb("#ffffff"), light.horizon, 0.35)
    material = Material(label=Fine.WATER, colour=tint, second=foam, texture=Texture.WATER, grain=0.4)
    stage.strip(upper, lower, material)


def _road(stage: Stage, near: tuple[float, float]) -> None:
    """A road across the picture with a kerb on both sides and a dashed line."""
    rng, width = stage.rng, stage.sketch.width
    tilt = 0.06 * (rng.random() - 0.5)
    kerb = Material(label=Fine.BACKGROUND, colour=rgb("#b9b4ab"), texture=Texture.PAVING, grain=0.2)
    asphalt = Material(label=Fine.ROAD, colour=vary(rgb("#75757e"), rng), texture=Texture.ASPHALT, grain=0.5)
    white = Material(label=Fine.ROAD, colour=rgb("#ece9df"))
    upper, lower = (lambda t: near[0] + tilt * (t - 0.5)), (lambda t: near[1] + tilt * (t - 0.5))
    stage.strip(lambda t: upper(t) - 0.035, lambda t: lower(t) + 0.05, kerb)
    stage.strip(upper, lower, asphalt)
    middle = 0.5 * (near[0] + near[1]) - 0.015
    x = -0.12 * rng.random()
    while x < width:
        ends = [(x + dx, stage.row(middle + ds + tilt * ((x + dx) / width - 0.5))) for dx, ds in _DASH]
        stage.sketch.ground(ends, white)
        x += 0.2


_DASH = ((0.0, 0.0), (0.1, 0.0), (0.1, 0.028), (0.0, 0.028))


def _road_away(stage: Stage) -> None:
    """A road that winds towards the horizon."""
    rng, width = stage.rng, stage.sketch.width
    foot, bend = width * (0.25 + 0.5 * rng.random()), 0.5 * (rng.random() - 0.5)
    away = width * (0.3 + 0.4 * rng.random())
    asphalt = Material(label=Fine.ROAD, colour=vary(rgb("#7b7a80"), rng), texture=Texture.ASPHALT, grain=0.5)
    white = Material(label=Fine.ROAD, colour=rgb("#ece9df"))

    def centre(s: float) -> float:
        return away + (foot - away) * s + bend * math.sin(math.pi * min(s, 1)) * (1 - 0.5 * s)

    steps = [k / 14 for k in range(16)]
    for half, material in ((0.22, asphalt), (0.012, white)):
        left = [(centre(s) - half * (s + 0.03), stage.row(s)) for s in steps]
        right = [(centre(s) + half * (s + 0.03), stage.row(s)) for s in reversed(steps)]
        stage.sketch.ground(left + right, material)
    stage.taken += [(s, centre(s), 0.16 * (s + 0.03)) for s in steps]


def _balloons(stage: Stage, count: float) -> None:
    """Hot-air balloons in the sky."""
    rng, sketch = stage.rng, stage.sketch
    total = count * max(sketch.width, 0.7)
    for _ in range(int(total) + (rng.random() < total % 1)):
        scale = 0.035 + 0.05 * rng.random()
        x, y = sketch.width * (0.1 + 0.8 * rng.random()), sketch.horizon * (0.5 + 0.42 * rng.random())
        pen = Pen(sketch=sketch, x=x, y=max(y, 3.7 * scale), scale=scale, haze=0.22 * (1 - scale / 0.09))
        props.hot_air_balloon(pen, rng, stage.mood)


_BROADLEAVES: tuple[Draw, ...] = (plants.broadleaf, plants.broadleaf, plants.birch, plants.poplar)
_WOODS: tuple[Draw, ...] = (*_BROADLEAVES, plants.conifer)
_SHRUBS: tuple[Draw, ...] = (plants.bush, plants.bush, plants.bush, plants.flower_bed, plants.flower_bed, plants.hedge)
_HERD: tuple[Draw, ...] = (figures.cow, figures.sheep, figures.horse, figures.pig)
_BOATS: tuple[Draw, ...] = (props.sailing_boat, props.sailing_boat, props.steamer, props.rowing_boat)


def _meadow(stage: Stage) -> None:
    """Rolling grassland with a winding road, trees and strollers."""
    _hills(stage, 3, 0.16)
    _balloons(stage, 0.75)
    _grass(stage)
    if stage.rng.random() < 0.7:
        _road_away(stage)
    stage.scatter(_WOODS, 6, (0.01, 0.1), 0.9, crowd=0.3)
    stage.scatter((buildings.cottage,), 0.9, (0.1, 0.25), 2.2)
    stage.scatter(_WOODS, 3, (0.12, 0.5), 1.2)
    stage.scatter((buildings.fence,), 0.5, (0.3, 0.65), 2.4)
    stage.scatter(_HERD, 0.9, (0.3, 0.85), 1.1)
    stage.scatter((props.parasol,), 0.35, (0.45, 0.75), 1.4)
    stage.scatter((figures.person,), 1.5, (0.35, 0.9), 0.5)
    stage.scatter((props.beach_ball, props.toy_balloons), 0.4, (0.5, 0.95), 0.6)
    stage.scatter(_SHRUBS, 2, (0.4, 1.0), 1.0)


def _farm(stage: Stage) -> None:
    """Fields, a farmhouse, fences and the herd."""
    _hills(stage, 2, 0.1)
    _balloons(stage, 0.3)
    _grass(stage)
    _fields(stage)
    stage.scatter((buildings.cottage,), 1.3, (0.16, 0.32), 2.2)
    stage.scatter(_BROADLEAVES, 3, (0.08, 0.4), 1.2)
    stage.scatter((buildings.fence,), 1.7, (0.35, 0.75), 2.6)
    stage.scatter(_HERD, 3, (0.4, 0.95), 1.1)
    stage.scatter((figures.person,), 0.9, (0.4, 0.9), 0.5)
    stage.scatter((props.car,), 0.6, (0.4, 0.6), 1.4)
    stage.scatter(_SHRUBS, 1.5, (0.3, 1.0), 1.0)


def _coast(stage: Stage) -> None:
    """Sea and beach: boats, parasols, palms."""
    rng = stage.rng
    if rng.random() < 0.6:
        _hills(stage, 1, 0.1)
    _balloons(stage, 0.35)
    shore = 0.34 + 0.14 * rng.random()
    edge = stage.wave(shore, 0.025, 0.2 * (rng.random() - 0.5))
    sand = Material(
        label=Fine.SAND, colour=vary(rgb("#e9cf94"), rng), second=rgb("#d9b678"), texture=Texture.SAND, grain=0.5
    )
    wet = Material(
        label=Fine.SAND, colour=gain(sand.colour, 0.72), second=gain(sand.second, 0.72), texture=Texture.SAND, grain=0.5
    )
    surf = Material(label=Fine.WATER, colour=rgb("#f2f8f8"), second=rgb("#cfe6ea"), texture=Texture.WATER, grain=0.3)
    stage.strip(lambda t: shore - 0.2, lambda t: 1.05, sand)
    stage.strip(lambda t: shore - 0.25, lambda t: edge(t) + 0.055, wet)
    stage.strip(lambda t: shore - 0.25, lambda t: edge(t) + 0.02, surf)
    _water(stage, lambda t: -0.01, edge)
    stage.scatter(_BOATS, 2.2, (0.06, shore - 0.1), 1.6, crowd=0.9)
    if rng.random() < 0.35:
        stage.put(buildings.lighthouse, shore + 0.12, stage.sketch.width * rng.choice((0.12, 0.88)), 0.9)
    stage.scatter((plants.palm,), 1.3, (shore + 0.12, 0.75), 1.2)
    stage.scatter((props.parasol,), 2.2, (shore + 0.12, 0.9), 1.4)
    stage.scatter((figures.person,), 2.4, (shore + 0.1, 0.95), 0.5)
    stage.scatter((props.beach_ball, props.toy_balloons), 0.9, (shore + 0.15, 0.95), 0.6)
    stage.scatter((plants.bush,), 0.6, (0.85, 1.05), 1.0)
    stage.scatter((buildings.fence,), 0.3, (0.7, 0.9), 2.4)


def _lake(stage: Stage) -> None:
    """Mountains mirrored in a lake, woods on its banks."""
    rng = stage.rng
    _hills(stage, 3, 0.26)
    _balloons(stage, 0.5)
    _grass(stage)
    near = 0.48 + 0.12 * rng.random()
    upper, lower = stage.wave(0.06, 0.015), stage.wave(near, 0.05, 0.2 * (rng.random() - 0.5))
    bank = Material(label=Fine.SAND, colour=rgb("#c8b184"), second=rgb("#b39a6c"), texture=Texture.SAND, grain=0.4)
    stage.strip(lambda t: upper(t) - 0.005, lambda t: lower(t) + 0.035, bank)
    _water(stage, upper, lower)
    stage.scatter((plants.conifer, *_WOODS), 7, (0.0, 0.035), 0.9, crowd=0.2)
    stage.scatter((buildings.cottage,), 0.6, (0.0, 0.03), 2.2, crowd=0.4)
    stage.scatter(_BOATS, 1.8, (0.16, near - 0.14), 1.6)
    stage.scatter((plants.conifer, *_BROADLEAVES), 1.6, (near + 0.08, 0.8), 1.2)
    stage.scatter((figures.person,), 1.1, (near + 0.1, 0.95), 0.5)
    stage.scatter((figures.horse, figures.cow, figures.sheep), 0.7, (near + 0.1, 0.9), 1.1)
    stage.scatter((buildings.fence,), 0.4, (near + 0.1, 0.8), 2.4)
    stage.scatter(_SHRUBS, 1.6, (near + 0.1, 1.05), 1.0)


def _town(stage: Stage) -> None:
    """A row of houses along a road."""
    rng, width = stage.rng, stage.sketch.width
    _hills(stage, 1, 0.1)
    _balloons(stage, 0.3)
    _grass(stage)
    pavement = Material(
        label=Fine.BACKGROUND, colour=rgb("#c3bdb2"), second=rgb("#9b968d"), texture=Texture.PAVING, grain=0.35
    )
    stage.strip(lambda t: 0.1, lambda t: 0.32, pavement)
    near = 0.56 + 0.06 * rng.random()
    if rng.random() < 0.35:
        stage.strip(lambda t: near, lambda t: 1.05, pavement)
    _road(stage, (0.3, near))
    x = -0.02 * rng.random()
    while x < width:
        house = buildings.town_house if rng.random() < 0.7 else buildings.cottage
        half = (1.5 if house is buildings.town_house else 2.1) * stage.metre(0.17)
        if rng.random() < 0.82:
            stage.things.append((0.15 + 0.04 * rng.random(), house, x + half))
        else:
            stage.put(rng.choice(_BROADLEAVES), 0.16, x + half, 1.0)
        x += 2 * half
    stage.scatter((buildings.lamp_post, plants.broadleaf, plants.bush), 1.6, (0.24, 0.28), 0.8)
    stage.scatter((props.car,), 2.5, (0.38, near - 0.04), 1.5, crowd=1.0)
    stage.scatter((figures.person,), 1.8, (near + 0.06, 0.95), 0.5)
    stage.scatter((props.parasol,), 0.6, (near + 0.08, 0.8), 1.4)
    stage.scatter(_BROADLEAVES, 0.6, (near + 0.06, 0.75), 1.2)
    stage.scatter((buildings.fence,), 0.5, (near + 0.06, 0.8), 2.4)
    stage.scatter((props.toy_balloons,), 0.25, (near + 0.06, 0.9), 0.6)
    stage.scatter(_SHRUBS, 1.2, (near + 0.08, 1.0), 1.0)
