"""Rendering of a sketch: one pass finds the part under each pixel, a second shades all pixels at once.

Everything is drawn at twice the size and averaged. Arrays are float32 and flat, (N,) or (3, N) over the pixels of the
large picture; colours are RGB in [0, 1].
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from stencilnet.scenes.mood import Light, Mood
from stencilnet.scenes.noise import Floats, clouds, lumps
from stencilnet.scenes.sketch import HAZE_FALL, HAZE_MOST, Sketch
from stencilnet.scenes.spaces import Fine
from stencilnet.scenes.textures import PATTERNS, Coordinates, Texture

Indices = npt.NDArray[np.intp]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Of = TypeVar("Of", np.uint8, np.intp)

_SENSOR_NOISE = 0.008


@dataclass(frozen=True, kw_only=True)
class Raster:
    """The large picture: world coordinates of its pixels, and the part that each pixel shows."""

    rows: int
    columns: int
    x: Floats
    y: Floats
    parts: Indices


@dataclass(frozen=True, kw_only=True)
class PartTable:
    """One entry per part; see `Sketch.add`. Part 0 is the sky."""

    numbers: Floats
    """(18, P): colour 3, second colour 3, box 4, bulge 2, tilt 2, 1/grain, haze, glow, 1/distance."""
    labels: Bytes
    textures: Bytes


def render(sketch: Sketch, mood: Mood, size: tuple[int, int], seed: list[int]) -> tuple[Bytes, Bytes]:
    """Return the picture (H, W, 3) and fine labels (H, W), both uint8.

    Args:
        sketch: The scene to draw.
        mood: Its light and season.
        size: Height and width in pixels.
        seed: Seed of the sensor noise.
    """
    view, table = rasterise(sketch, size), table_of(sketch)
    shadow = _shadow(sketch, size)
    colour = _surfaces(view, table, mood, sketch.horizon, shadow)
    water = np.flatnonzero(table.labels.take(view.parts) == Fine.WATER)
    sky = np.flatnonzero(view.parts == 0)
    colour[:, sky] = _sky(view.x[sky], view.y[sky], sketch, mood)
    if water.size:
        colour[:, water] = _reflections(view, water, _on_near_bank(view, table, water, sketch.horizon), colour)
    large = colour.reshape(3, view.rows, view.columns)
    small = 0.25 * (large[:, ::2, ::2] + large[:, 1::2, ::2] + large[:, ::2, 1::2] + large[:, 1::2, 1::2])
    noise = np.random.default_rng(seed).standard_normal(small.shape, dtype=np.float32)
    image = np.clip(small + _SENSOR_NOISE * noise, 0, 1) * 255 + 0.5
    labels = majority(table.labels.take(view.parts).reshape(view.rows, view.columns))
    return np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0)), labels


def rasterise(sketch: Sketch, size: tuple[int, int]) -> Raster:
    """Return the large picture, of twice `size`, with the part under each pixel."""
    rows, columns = 2 * size[0], 2 * size[1]
    unit = min(rows, columns)
    canvas = Image.new("I", (columns, rows), 0)
    draw = ImageDraw.Draw(canvas)
    for index, points in enumerate(sketch.polygons, start=1):
        draw.polygon([(x * unit - 0.5, y * unit - 0.5) for x, y in points], fill=index)
    y, x = np.divmod(np.arange(rows * columns, dtype=np.int32), np.int32(columns))
    return Raster(
        rows=rows,
        columns=columns,
        x=(x.astype(np.float32) + 0.5) / unit,
        y=(y.astype(np.float32) + 0.5) / unit,
        parts=np.array(canvas, dtype=np.intp).ravel(),
    )


def table_of(sketch: Sketch) -> PartTable:
    """Collect the numbers, labels and textures of a sketch's parts."""
    rows = np.array([(0.0,) * 17 + (Fine.SKY, Texture.PLAIN, 0.0), *sketch.rows], dtype=np.float32)
    return PartTable(
        numbers=np.ascontiguousarray(rows[:, [*range(17), 19]].T),
        labels=rows[:, 17].astype(np.uint8),
        textures=rows[:, 18].astype(np.uint8),
    )


def _shadow(sketch: Sketch, size: tuple[int, int]) -> Floats:
    """Return soft cast shadows on the ground, in [0, 1], drawn at the small size and enlarged."""
    unit = min(size)
    canvas = Image.new("L", (size[1], size[0]), 0)
    draw = ImageDraw.Draw(canvas)
    for points in sketch.shadows:
        draw.polygon([(x * unit - 0.5, y * unit - 0.5) for x, y in points], fill=255)
    soft = canvas.filter(ImageFilter.GaussianBlur(0.009 * unit))
    large = soft.resize((2 * size[1], 2 * size[0]), Image.Resampling.BILINEAR)
    return np.asarray(large, dtype=np.float32).ravel() / 255


def _surfaces(view: Raster, table: PartTable, mood: Mood, horizon: float, shadow: Floats) -> Floats:
    """Return the colour (3, N) of everything but the sky, which the caller fills in."""
    parts, numbers = view.parts, table.numbers
    dx, dy = view.x - numbers[6].take(parts), view.y - numbers[7].take(parts)
    x, y = within_box(table, parts, dx, dy)
    frequency, haze = numbers[14].take(parts), numbers[15].take(parts)
    ground = haze < 0
    depth = np.maximum(view.y - horizon, 0)
    perspective = depth + 0.05
    u = np.where(ground, (view.x - 0.5) / perspective * frequency, dx * frequency)
    v = np.where(ground, 5 * np.log(perspective) * frequency, dy * frequency)
    share, factor = _patterns(table.textures.take(parts), Coordinates(u, v, x, y))
    nx, ny, nz = facing(table, parts, x, y)
    lx, ly, lz = mood.direction
    lit = np.maximum(lx * nx + ly * ny + lz * nz, 0) * (1 - ground * shadow)
    dim = factor * (1 - mood.light.shadow * 0.4 * ground * shadow)
    glow = numbers[16].take(parts)
    haze = np.where(ground, haze_share(depth), haze)
    colour = np.empty((3, parts.size), np.float32)
    light = mood.light
    for channel in range(3):
        albedo = numbers[channel].take(parts)
        albedo += share * (numbers[channel + 3].take(parts) - albedo)
        bright = light.ambient[channel] + light.sun[channel] * lit
        bright += glow * (1.05 - bright)
        out = colour[channel]
        np.multiply(albedo, bright, out=out)
        out *= dim
        out += haze * (light.haze[channel] - out)
    return colour


def within_box(table: PartTable, parts: Indices, dx: Floats, dy: Floats) -> tuple[Floats, Floats]:
    """Return positions in the parts' boxes, from -1 to 1, of points at (dx, dy) from the boxes' centres."""
    across, along = table.numbers[8].take(parts), table.numbers[9].take(parts)
    return np.clip(dx * across, -1, 1), np.clip(dy * along, -1, 1)


def facing(table: PartTable, parts: Indices, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the normals used for shading: x right, y down, z towards the viewer.

    `x` and `y` are positions in a part's box, from -1 to 1.
    """
    numbers = table.numbers
    nx = numbers[10].take(parts) * x + numbers[12].take(parts)
    ny = numbers[11].take(parts) * y + numbers[13].take(parts)
    return nx, ny, np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))


def haze_share(depth: Floats | np.float32) -> Floats:
    """Return the share of haze in front of the ground `depth` world units below the horizon."""
    return np.asarray(HAZE_MOST * np.exp(depth * np.float32(-HAZE_FALL)), dtype=np.float32)


def _patterns(kinds: Bytes, at: Coordinates) -> tuple[Floats, Floats]:
    share, factor = np.zeros_like(at.u), np.ones_like(at.u)
    for kind in np.flatnonzero(np.bincount(kinds, minlength=len(Texture))):
        here = np.flatnonzero(kinds == kind)
        pattern = PATTERNS[Texture(int(kind))]
        share[here], factor[here] = pattern(Coordinates(at.u[here], at.v[here], at.x[here], at.y[here]))
    return share, factor


def _smooth(value: Floats, low: float, high: float) -> Floats:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def _sky(x: Floats, y: Floats, sketch: Sketch, mood: Mood) -> Floats:
    """Return the sky (3, N): gradient, sun or moon with its glow, stars, and clouds lit from the sun's side."""
    light = mood.light
    height = np.clip(1 - y / sketch.horizon, 0, 1)
    sun_x, sun_y = mood.sun[0] * sketch.width, (1 - mood.sun[1]) * sketch.horizon
    distance = np.hypot(x - sun_x, y - sun_y)
    night = light.lamps == 1
    disc = (1 - _smooth(distance, 0.028, 0.034)) * (light.cover > 0)
    glow = np.exp(distance * np.float32(-5)) * (0.75 if light.cover > 0 else 0.25)
    stars = np.zeros_like(x)
    if night:
        stars = _smooth(lumps(x * 34 + 9 * mood.cloud_offset[0], y * 34), 2.5, 2.9) * 0.9
    cover = _cloud_cover(x, height, light, mood)
    out = np.empty((3, x.size), np.float32)
    levels = np.array([0.0, 0.4, 1.0], np.float32)
    for channel in range(3):
        stops = [light.horizon[channel], light.middle[channel], light.top[channel]]
        sky = np.interp(height, levels, stops).astype(np.float32)
        sky += stars * (1 - sky)
        sky += glow * 0.55 * light.sun[channel] * (1.1 - sky)
        bright = min(1.0, 0.86 + 0.2 * light.sun[channel])
        sky += disc * (bright - sky)
        tone = light.cloud_shade[channel] + cover[1] * (light.cloud[channel] - light.cloud_shade[channel])
        out[channel] = sky + cover[0] * (tone - sky)
    return out


def _cloud_cover(x: Floats, height: Floats, light: Light, mood: Mood) -> tuple[Floats, Floats]:
    """Return density and brightness of the clouds, each (N,) in [0, 1]."""
    far = 0.32 + height
    u = (x - 0.5) / far * 0.8 + mood.cloud_offset[0]
    v = np.log(far) * 1.7 + mood.cloud_offset[1]
    lump = clouds(u, v)
    towards = clouds(u + 0.10 * mood.direction[0], v + 0.16)
    density = _smooth(lump, light.cover, light.cover + 0.7) * _smooth(height, 0.0, 0.25) * 0.92
    return density, np.clip(0.55 + 0.55 * (lump - towards) + 0.1 * (lump - light.cover), 0, 1)


def _on_near_bank(view: Raster, table: PartTable, water: Indices, horizon: float) -> Bools:
    """Return which pixels (N,) show things on the near side of the water, which it cannot reflect.

    A thing's distance follows from its haze. Balloons are in the air, so they are never on a bank.
    """
    rows = np.zeros(view.parts.size, np.float32)
    rows[water] = view.y[water]
    lowest = rows.reshape(view.rows, view.columns).max(axis=0)
    bank = float(np.median(lowest[lowest > 0])) - horizon
    haze = table.numbers[15]
    near = (haze > 0) & (haze < haze_share(np.float32(bank))) & (table.labels != Fine.BALLOON)
    return np.asarray(near.take(view.parts), dtype=bool)


def _reflections(view: Raster, water: Indices, near: Bools, colour: Floats) -> Floats:
    """Return the water (3, N) with reflections, distorted by ripples, of what is above it in the same column."""
    blind = near.copy()
    blind[water] = True
    row = np.arange(view.rows, dtype=np.int32)[:, None]
    shore = np.maximum.accumulate(np.where(blind.reshape(view.rows, view.columns), -1, row), axis=0).ravel()[water]
    here = (water // view.columns).astype(np.int32)
    unit = min(view.rows, view.columns)
    below = (here - shore).astype(np.float32) / unit
    ripple = lumps(view.x[water] * 9, view.y[water] * 46)
    mirror = 2 * shore - here + 1 + (ripple * (0.004 + 0.05 * below) * unit).astype(np.int32)
    shift = (ripple * 0.012 * unit * np.minimum(below * 8, 1)).astype(np.int32)
    column = np.clip(water % view.columns + shift, 0, view.columns - 1)
    source = np.clip(mirror, 0, view.rows - 1) * view.columns + column
    # where the reflected point is not visible, use the mean of all visible reflections
    known = ~blind[source] & (shore >= 0)
    image = colour[:, source]
    if known.any():
        image[:, ~known] = image[:, known].mean(axis=1, keepdims=True)
    strength = 0.34 + 0.3 * np.exp(below * np.float32(-5))
    return np.asarray(colour[:, water] + strength * (image - colour[:, water]), dtype=np.float32)


def majority(large: npt.NDArray[Of]) -> npt.NDArray[Of]:
    """Return the most frequent number of each 2 x 2 block; the first one if all differ."""
    a, b, c, d = large[::2, ::2], large[::2, 1::2], large[1::2, ::2], large[1::2, 1::2]
    rest = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    return np.where((a == b) | (a == c) | (a == d), a, rest)
