"""Composition of a scene's ground and things: a pure function of the random generator and the picture's shape."""

from random import Random

from stencilnet.scenes import buildings, figures, plants, props
from stencilnet.scenes.grounds import fields, grass, hills, road, road_away, water
from stencilnet.scenes.mood import Mood, draw_mood
from stencilnet.scenes.pen import Pen
from stencilnet.scenes.sketch import Material, Sketch, gain, rgb, vary
from stencilnet.scenes.spaces import Fine
from stencilnet.scenes.stage import Draw, SceneDraft, level
from stencilnet.scenes.textures import Texture


def compose(rng: Random, width: float, height: float) -> tuple[Sketch, Mood]:
    """Return a random scene on a canvas of `width` x `height` world units, and its mood."""
    mood = draw_mood(rng)
    kind = rng.choices((_meadow, _coast, _lake, _town, _farm), (0.2, 0.25, 0.17, 0.22, 0.16))[0]
    horizon = height * (0.34 + 0.14 * rng.random())
    stage = SceneDraft(
        rng=rng, mood=mood, sketch=Sketch(width=width, height=height, horizon=horizon, shadow=mood.shadow)
    )
    kind(stage)
    stage.draw_things()
    return stage.sketch, mood


def _balloons(stage: SceneDraft, count: float) -> None:
    """Draw hot-air balloons in the sky."""
    rng, sketch = stage.rng, stage.sketch
    total = count * max(sketch.width, 0.7)
    for _ in range(int(total) + (rng.random() < total % 1)):
        scale = 0.035 + 0.05 * rng.random()
        x, y = sketch.width * (0.1 + 0.8 * rng.random()), sketch.horizon * (0.5 + 0.42 * rng.random())
        haze = 0.22 * (1 - scale / 0.09)
        top = max(y, 3.7 * scale)
        props.hot_air_balloon(Pen(sketch=sketch, x=x, y=top, scale=scale, haze=haze, rng=rng, mood=stage.mood))


_BROADLEAVES: tuple[Draw, ...] = (plants.broadleaf, plants.broadleaf, plants.birch, plants.poplar)
_WOODS: tuple[Draw, ...] = (*_BROADLEAVES, plants.conifer)
_SHRUBS: tuple[Draw, ...] = (plants.bush, plants.bush, plants.bush, plants.flower_bed, plants.flower_bed, plants.hedge)
_HERD: tuple[Draw, ...] = (figures.cow, figures.sheep, figures.horse, figures.pig)
_BOATS: tuple[Draw, ...] = (props.sailing_boat, props.sailing_boat, props.steamer, props.rowing_boat)


def _meadow(stage: SceneDraft) -> None:
    """Compose grassland with a winding road, trees and people."""
    hills(stage, 3, 0.16)
    _balloons(stage, 0.75)
    grass(stage)
    if stage.rng.random() < 0.7:
        road_away(stage)
    stage.scatter(_WOODS, 6, (0.01, 0.1), 0.9, crowd=0.3)
    stage.scatter((buildings.cottage,), 0.9, (0.1, 0.25), 2.2)
    stage.scatter(_WOODS, 3, (0.12, 0.5), 1.2)
    stage.scatter((buildings.fence,), 0.5, (0.3, 0.65), 2.4)
    stage.scatter(_HERD, 0.9, (0.3, 0.85), 1.1)
    stage.scatter((props.parasol,), 0.35, (0.45, 0.75), 1.4)
    stage.scatter((figures.person,), 1.5, (0.35, 0.9), 0.5)
    stage.scatter((props.beach_ball, props.toy_balloons), 0.4, (0.5, 0.95), 0.6)
    stage.scatter(_SHRUBS, 2, (0.4, 1.0), 1.0)


def _farm(stage: SceneDraft) -> None:
    """Compose fields with farmhouses, fences and farm animals."""
    hills(stage, 2, 0.1)
    _balloons(stage, 0.3)
    grass(stage)
    fields(stage)
    stage.scatter((buildings.cottage,), 1.3, (0.16, 0.32), 2.2)
    stage.scatter(_BROADLEAVES, 3, (0.08, 0.4), 1.2)
    stage.scatter((buildings.fence,), 1.7, (0.35, 0.75), 2.6)
    stage.scatter(_HERD, 3, (0.4, 0.95), 1.1)
    stage.scatter((figures.person,), 0.9, (0.4, 0.9), 0.5)
    stage.scatter((props.car,), 0.6, (0.4, 0.6), 1.4)
    stage.scatter(_SHRUBS, 1.5, (0.3, 1.0), 1.0)


def _coast(stage: SceneDraft) -> None:
    """Compose sea and beach with boats, parasols and palms."""
    rng = stage.rng
    if rng.random() < 0.6:
        hills(stage, 1, 0.1)
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
    stage.strip(level(shore - 0.2), level(1.05), sand)
    stage.strip(level(shore - 0.25), lambda t: edge(t) + 0.055, wet)
    stage.strip(level(shore - 0.25), lambda t: edge(t) + 0.02, surf)
    water(stage, level(-0.01), edge)
    stage.scatter(_BOATS, 2.2, (0.06, shore - 0.1), 1.6, crowd=0.9)
    if rng.random() < 0.35:
        stage.put(buildings.lighthouse, shore + 0.12, stage.sketch.width * rng.choice((0.12, 0.88)), 0.9)
    stage.scatter((plants.palm,), 1.3, (shore + 0.12, 0.75), 1.2)
    stage.scatter((props.parasol,), 2.2, (shore + 0.12, 0.9), 1.4)
    stage.scatter((figures.person,), 2.4, (shore + 0.1, 0.95), 0.5)
    stage.scatter((props.beach_ball, props.toy_balloons), 0.9, (shore + 0.15, 0.95), 0.6)
    stage.scatter((plants.bush,), 0.6, (0.85, 1.05), 1.0)
    stage.scatter((buildings.fence,), 0.3, (0.7, 0.9), 2.4)


def _lake(stage: SceneDraft) -> None:
    """Compose mountains reflected in a lake with woods on its banks."""
    rng = stage.rng
    hills(stage, 3, 0.26)
    _balloons(stage, 0.5)
    grass(stage)
    near = 0.48 + 0.12 * rng.random()
    upper, lower = stage.wave(0.06, 0.015), stage.wave(near, 0.05, 0.2 * (rng.random() - 0.5))
    bank = Material(label=Fine.SAND, colour=rgb("#c8b184"), second=rgb("#b39a6c"), texture=Texture.SAND, grain=0.4)
    stage.strip(lambda t: upper(t) - 0.005, lambda t: lower(t) + 0.035, bank)
    water(stage, upper, lower)
    stage.scatter((plants.conifer, *_WOODS), 7, (0.0, 0.035), 0.9, crowd=0.2)
    stage.scatter((buildings.cottage,), 0.6, (0.0, 0.03), 2.2, crowd=0.4)
    stage.scatter(_BOATS, 1.8, (0.16, near - 0.14), 1.6)
    stage.scatter((plants.conifer, *_BROADLEAVES), 1.6, (near + 0.08, 0.8), 1.2)
    stage.scatter((figures.person,), 1.1, (near + 0.1, 0.95), 0.5)
    stage.scatter((figures.horse, figures.cow, figures.sheep), 0.7, (near + 0.1, 0.9), 1.1)
    stage.scatter((buildings.fence,), 0.4, (near + 0.1, 0.8), 2.4)
    stage.scatter(_SHRUBS, 1.6, (near + 0.1, 1.05), 1.0)


def _town(stage: SceneDraft) -> None:
    """Compose a row of houses along a road."""
    rng, width = stage.rng, stage.sketch.width
    hills(stage, 1, 0.1)
    _balloons(stage, 0.3)
    grass(stage)
    pavement = Material(
        label=Fine.BACKGROUND, colour=rgb("#c3bdb2"), second=rgb("#9b968d"), texture=Texture.PAVING, grain=0.35
    )
    stage.strip(level(0.1), level(0.32), pavement)
    near = 0.56 + 0.06 * rng.random()
    if rng.random() < 0.35:
        stage.strip(level(near), level(1.05), pavement)
    road(stage, (0.3, near))
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
