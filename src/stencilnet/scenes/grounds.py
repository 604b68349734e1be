"""Backdrop and ground: hills, grass, fields, water and roads."""

import math

from stencilnet.scenes.sketch import NEAR_HORIZON, Colour, Material, Point, gain, mix, rgb, vary
from stencilnet.scenes.spaces import Fine
from stencilnet.scenes.stage import GroundLine, SceneDraft, level, sloping
from stencilnet.scenes.textures import Texture

_DASH = ((0.0, 0.0), (0.1, 0.0), (0.1, 0.028), (0.0, 0.028))


def hills(stage: SceneDraft, count: int, tall: float) -> None:
    """Draw ridges behind the ground, with more haze at a greater distance; high ones are rock with snow."""
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
        sketch.add(points, material, box, (1, 1.0), haze, near=NEAR_HORIZON * (0.3 + 0.5 * share))


def grass(stage: SceneDraft) -> None:
    """Cover the ground with grass; flowers or fallen leaves in it show the season."""
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
    stage.strip(level(-0.02), level(1.05), material)


def fields(stage: SceneDraft) -> None:
    """Draw ploughed and sown fields near the horizon, in the colours of several crops."""
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


def water(stage: SceneDraft, upper: GroundLine, lower: GroundLine) -> None:
    """Draw water between two lines, tinted by the sky; `render` adds the reflection."""
    light = stage.mood.light
    tint = mix(rgb("#2f7fa8"), light.middle, 0.45)
    foam = mix(rgb("#ffffff"), light.horizon, 0.35)
    material = Material(label=Fine.WATER, colour=tint, second=foam, texture=Texture.WATER, grain=0.4)
    stage.strip(upper, lower, material)


def road(stage: SceneDraft, near: tuple[float, float]) -> None:
    """Draw a road across the picture with a kerb on both sides and a dashed line."""
    rng, width = stage.rng, stage.sketch.width
    tilt = 0.06 * (rng.random() - 0.5)
    kerb = Material(label=Fine.BACKGROUND, colour=rgb("#b9b4ab"), texture=Texture.PAVING, grain=0.2)
    asphalt = Material(label=Fine.ROAD, colour=vary(rgb("#75757e"), rng), texture=Texture.ASPHALT, grain=0.5)
    white = Material(label=Fine.ROAD, colour=rgb("#ece9df"))
    stage.strip(sloping(near[0] - 0.035, tilt), sloping(near[1] + 0.05, tilt), kerb)
    stage.strip(sloping(near[0], tilt), sloping(near[1], tilt), asphalt)
    middle = 0.5 * (near[0] + near[1]) - 0.015
    x = -0.12 * rng.random()
    while x < width:
        ends = [(x + dx, stage.row(sloping(middle + ds, tilt)((x + dx) / width))) for dx, ds in _DASH]
        stage.sketch.ground(ends, white)
        x += 0.2


def road_away(stage: SceneDraft) -> None:
    """Draw a road that winds towards the horizon."""
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
