"""The style pictures: two are painted here, stroke by stroke along a flow field.

Coordinates: the shorter side of the picture is 1, x to the right, y down.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from stencilnet.scenes.computed import glass
from stencilnet.scenes.drawing import check_size
from stencilnet.scenes.noise import Floats, clouds
from stencilnet.scenes.sketch import rgb

STYLES: tuple[str, ...] = ("swirls", "bands", "glass")
"""Names of the style pictures."""

_CANVAS = 1024
_STEPS = 9
_BRISTLES = 4

Angles = Callable[[Floats, Floats], Floats]
Colours = Callable[[Floats, Floats, np.random.Generator], Floats]


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Strokes of one brush: their spacing, length and width, in units of the shorter side."""

    spacing: float
    length: float
    width: float


@dataclass(frozen=True, kw_only=True)
class _Painting:
    """Seed, stroke directions, colours, brushes and ground colour of a picture."""

    seed: int
    angle: Angles
    colour: Colours
    layers: tuple[_Layer, ...]
    ground: tuple[int, int, int]


def paint_style(name: str, size: int | tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Paint a style picture, the same at every size.

    "swirls" has short strokes in deep blues and yellows around vortices, "bands" has long wavy strokes in oranges, reds
    and dark greens. They replace the two painters of the paper, Table 1, Tasks 4 and 5. "glass" is stained glass
    between strips of lead.

    Args:
        name: One of `STYLES`.
        size: Side, or (height, width), in pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        TypeError: If `size` is neither an int nor a pair of ints.
        ValueError: If the style does not exist, or a side is out of range.
    """
    if name not in STYLES:
        raise ValueError(f"Expected argument `name` to be one of {', '.join(map(repr, STYLES))}, but got {name!r}.")
    height, width = check_size(size)
    enlarged = max(1.0, _CANVAS / max(height, width))
    shape = round(height * enlarged), round(width * enlarged)
    large = _paint(_PAINTINGS[name], shape) if name in _PAINTINGS else _glass(shape)
    return np.array(large.resize((width, height), Image.Resampling.BOX), dtype=np.uint8)


@lru_cache(maxsize=len(STYLES))  # painting takes seconds; all square pictures up to the canvas side share one
def _paint(painting: _Painting, shape: tuple[int, int]) -> Image.Image:
    """Return the picture on a canvas of (height, width) pixels, with the paint's relief lit from the upper left."""
    rng = np.random.default_rng(painting.seed)
    unit = min(shape)
    canvas = Image.new("RGB", (shape[1], shape[0]), painting.ground)
    relief = Image.new("L", (shape[1], shape[0]), 90)
    draws = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    for layer in painting.layers:
        _stroke_layer(painting, layer, shape, rng, draws)
    thickness = np.asarray(relief, dtype=np.float32)
    step = max(1, unit // 512)
    slope = np.roll(thickness, -step, (0, 1)) - np.roll(thickness, step, (0, 1))
    lit = np.asarray(canvas, dtype=np.float32) + 0.16 * np.clip(-slope, -110, 110)[..., None]
    return Image.fromarray(np.clip(lit + 0.5, 0, 255).astype(np.uint8))


@lru_cache(maxsize=len(STYLES))
def _glass(shape: tuple[int, int]) -> Image.Image:
    """Return the stained glass on a canvas of (height, width) pixels."""
    rows, columns = np.indices(shape, dtype=np.float32) / min(shape)
    return Image.fromarray(np.clip(255 * glass(columns, rows) + 0.5, 0, 255).astype(np.uint8))


def _stroke_layer(
    painting: _Painting,
    layer: _Layer,
    shape: tuple[int, int],
    rng: np.random.Generator,
    draws: tuple[ImageDraw.ImageDraw, ImageDraw.ImageDraw],
) -> None:
    unit = min(shape)
    x, y = _jittered_grid(shape[1] / unit, shape[0] / unit, layer.spacing, rng)
    colours = painting.colour(x, y, rng)
    paths = _trace(painting.angle, x, y, layer.length * (0.7 + 0.6 * rng.random(x.size, dtype=np.float32)))
    along = np.gradient(paths, axis=1)
    across = np.stack([-along[..., 1], along[..., 0]], -1) / (np.linalg.norm(along, axis=2, keepdims=True) + 1e-6)
    taper = np.sin(np.linspace(0.35, np.pi - 0.5, _STEPS, dtype=np.float32))[None, :, None]
    thickness = max(1, round(1.5 * layer.width * unit / _BRISTLES))
    tones = 1 + 0.16 * rng.standard_normal((x.size, _BRISTLES, 1))
    heights = rng.integers(30, 226, (x.size, _BRISTLES))
    shades = np.clip(255 * colours[:, None, :] * tones, 0, 255).astype(int)
    for k in rng.permutation(x.size):
        for bristle in range(_BRISTLES):
            offset = (bristle / (_BRISTLES - 1) - 0.5) * layer.width
            line = ((paths[k] + offset * across[k] * taper[0]) * unit).ravel().tolist()
            draws[0].line(line, fill=tuple(shades[k, bristle].tolist()), width=thickness, joint="curve")
            draws[1].line(line, fill=int(heights[k, bristle]), width=thickness, joint="curve")


def _jittered_grid(width: float, height: float, spacing: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    grid_x, grid_y = np.meshgrid(np.arange(-1, width / spacing + 1), np.arange(-1, height / spacing + 1))
    jitter = rng.random((2, grid_x.size)) * 1.2 - 0.6
    x, y = (grid_x.ravel() + jitter[0]) * spacing, (grid_y.ravel() + jitter[1]) * spacing
    return x.astype(np.float32), y.astype(np.float32)


def _trace(angle: Angles, x: Floats, y: Floats, length: Floats) -> Floats:
    """Return paths (n, steps, 2) along the field, centred on the given points."""
    step = length / (_STEPS - 1)
    path = [np.stack([x, y], -1)]
    for sign in (-1, 1):
        px, py = x, y
        for _ in range(_STEPS // 2):
            # midpoint rule: Euler's method would drift outwards and leave the vortex centres empty
            turn = angle(px, py)
            turn = angle(px + 0.5 * sign * step * np.cos(turn), py + 0.5 * sign * step * np.sin(turn))
            px, py = px + sign * step * np.cos(turn), py + sign * step * np.sin(turn)
            path.insert(len(path) if sign > 0 else 0, np.stack([px, py], -1))
    return np.stack(path, 1)


def _ramp(colours: tuple[str, ...], t: Floats) -> Floats:
    """Return colours (n, 3), interpolated at positions `t` in [0, 1] along a list of colours."""
    stops, at = np.array([rgb(code) for code in colours], np.float32), np.linspace(0, 1, len(colours))
    return np.stack([np.interp(t, at, stops[:, channel]) for channel in range(3)], -1).astype(np.float32)


_VORTICES = ((0.38, 0.40, 0.20, 1.0), (0.74, 0.33, 0.14, -1.0), (1.35, 0.42, 0.2, 1.0), (0.5, 1.3, 0.2, -1.0))
_STARS = (
    (0.11, 0.13, 0.034),
    (0.36, 0.09, 0.024),
    (0.58, 0.14, 0.03),
    (0.87, 0.12, 0.055),
    (0.10, 0.42, 0.026),
    (0.93, 0.47, 0.03),
    (0.58, 0.56, 0.022),
    (0.24, 0.66, 0.026),
    (1.18, 0.18, 0.04),
    (1.6, 0.16, 0.03),
)
_NIGHT = ("#0b1644", "#152a70", "#1f4696", "#3a73bb", "#6fa6d6", "#b9d8e4")
_GLOW = ("#fff6c8", "#fbd94b", "#f1ac2a", "#c8cf8c", "#7fb0c4")
_HILLS = ("#08172f", "#0d2a45", "#16463f", "#2a6250")


def _skyline(x: Floats) -> Floats:
    return np.asarray(0.84 - 0.07 * np.sin(3.1 * x + 0.4) - 0.035 * np.sin(8.3 * x + 1), dtype=np.float32)


def _swirl_angle(x: Floats, y: Floats) -> Floats:
    fx, fy = np.ones_like(x), 0.35 * np.sin(5 * x + 3 * y)
    for cx, cy, radius, turn in _VORTICES:
        dx, dy = x - cx, y - cy
        pull = 14 * turn * np.exp(-(dx * dx + dy * dy) / (radius * radius)) / radius
        fx, fy = fx - pull * dy, fy + pull * dx
    for cx, cy, radius in _STARS:
        dx, dy = x - cx, y - cy
        pull = 26 * np.exp(-(dx * dx + dy * dy) / (6 * radius * radius)) / radius * 0.4
        fx, fy = fx - pull * dy, fy + pull * dx
    hill = y > _skyline(x)
    slope = (_skyline(x + 0.01) - _skyline(x - 0.01)) / 0.02
    return np.arctan2(np.where(hill, slope + 0.6 * np.sin(9 * x), fy), np.where(hill, 1, fx)).astype(np.float32)


def _swirl_colour(x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    tone = 0.34 + 0.14 * clouds(x * 0.8, y * 0.8) + 0.09 * rng.standard_normal(x.size, dtype=np.float32)
    for cx, cy, radius, _ in _VORTICES:
        d = np.hypot(x - cx, y - cy)
        tone = tone + 0.36 * np.exp(-((d / radius / 1.2) ** 2)) * np.sin(d / radius * 11 + np.arctan2(y - cy, x - cx))
    colour = _ramp(_NIGHT, tone)
    for cx, cy, radius in _STARS:
        d = np.hypot(x - cx, y - cy) / radius * (1 + 0.12 * rng.standard_normal(x.size, dtype=np.float32))
        share = np.clip(1.5 - 0.5 * d, 0, 1)[:, None]
        colour = colour + share * (_ramp(_GLOW, d / 3) - colour)
    dark = _ramp(_HILLS, 0.4 + 0.3 * clouds(x, y * 3) + 0.15 * rng.standard_normal(x.size, dtype=np.float32))
    return np.where((y > _skyline(x))[:, None], dark, colour)


_FIRE = ("#8f1f24", "#cf3a22", "#ee6a22", "#f59a2e", "#f8c763", "#ef7b28", "#c22c26", "#f0862a", "#7d8f7a", "#f3a63a")
_DEEP = ("#0d1f2c", "#16404a", "#235f58", "#0f2c3e", "#3d7460", "#143a3c", "#7f4a2a", "#1b4a55")


def _wave(x: Floats, y: Floats) -> Floats:
    return np.asarray(
        0.055 * np.sin(5.2 * x + 2.4 * y + 0.6) + 0.03 * np.sin(10.7 * x - 4 * y + 2) + 0.09 * x * np.sin(2.6 * y),
        dtype=np.float32,
    )


def _shoreline(x: Floats) -> Floats:
    return np.asarray(0.58 + 0.09 * np.sin(3.6 * x + 2.2), dtype=np.float32)


def _swing(x: Floats, y: Floats) -> Floats:
    """Return the field of the lower half: wide loops that lean to the right."""
    return np.asarray(0.3 * x + 0.1 * np.sin(7 * x + 5 * y), dtype=np.float32)


def _band_angle(x: Floats, y: Floats) -> Floats:
    field = [(f(x + 0.004, y) - f(x - 0.004, y)) / 0.008 for f in (_wave, _swing)]
    return np.arctan(-np.where(y > _shoreline(x), field[1], field[0])).astype(np.float32)


def _band_colour(x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    wobble = 0.012 * rng.standard_normal(x.size, dtype=np.float32)
    upper, lower = (y + _wave(x, y) + wobble) * 1.9, (y + _swing(x, y) + wobble) * 1.9
    low = (y > _shoreline(x))[:, None]
    return np.where(low, _ramp(_DEEP, lower % 1), _ramp(_FIRE, (upper + 0.1) % 1))


_PAINTINGS: dict[str, _Painting] = {
    "swirls": _Painting(
        seed=11,
        angle=_swirl_angle,
        colour=_swirl_colour,
        layers=(
            _Layer(spacing=0.04, length=0.04, width=0.055),
            _Layer(spacing=0.04, length=0.13, width=0.04),
            _Layer(spacing=0.025, length=0.075, width=0.021),
        ),
        ground=(16, 32, 84),
    ),
    "bands": _Painting(
        seed=12,
        angle=_band_angle,
        colour=_band_colour,
        layers=(_Layer(spacing=0.05, length=0.4, width=0.045), _Layer(spacing=0.036, length=0.34, width=0.022)),
        ground=(150, 60, 30),
    ),
}
