"""The light and the season of a scene, which all of its things share."""

from dataclasses import dataclass
from random import Random

from stencilnet.scenes.sketch import Colour, Point, rgb
from stencilnet.scenes.textures import Texture


@dataclass(frozen=True, kw_only=True)
class Light:
    """A time of day or weather. Colours are RGB; light intensities may exceed 1."""

    top: Colour
    middle: Colour
    horizon: Colour
    ambient: Colour
    sun: Colour
    haze: Colour
    cloud: Colour
    cloud_shade: Colour
    cover: float
    """Threshold of the cloud noise in standard deviations; lower values give more clouds."""
    shadow: float
    """Darkness of cast shadows, 0-1."""
    elevation: float
    """Apparent height of the sun or moon above the horizon, as a share of the sky's height."""
    lamps: float
    """Brightness of windows and lamps, 0-1."""


@dataclass(frozen=True, kw_only=True)
class Season:
    """Colours of plants, and a ground texture that shows the season without colour."""

    grass: tuple[Colour, Colour]
    ground: Texture
    specks: tuple[Colour, ...]
    leaves: tuple[Colour, ...]
    blossom: float
    """Share of broadleaf trees in bloom."""


@dataclass(frozen=True, kw_only=True)
class Mood:
    """Light and season of a scene, and what follows from them."""

    light: Light
    season: Season
    sun: Point
    """Position of the sun or moon: x from 0 (left) to 1 (right), height from 0 (horizon) to 1 (top)."""
    direction: tuple[float, float, float]
    """Unit vector towards the light: x right, y down, z towards the viewer."""
    shadow: Point
    """Tip of the shadow of a 1 m pole (see `Sketch.shadow`)."""
    cloud_offset: Point


DAY = Light(
    top=rgb("#3d7fcf"),
    middle=rgb("#78b1ea"),
    horizon=rgb("#d6ebf7"),
    ambient=(0.50, 0.55, 0.64),
    sun=(0.72, 0.67, 0.56),
    haze=rgb("#c3dcef"),
    cloud=rgb("#ffffff"),
    cloud_shade=rgb("#b9c9dc"),
    cover=0.35,
    shadow=0.55,
    elevation=0.85,
    lamps=0.0,
)
MORNING = Light(
    top=rgb("#6fa3d6"),
    middle=rgb("#b8d3e6"),
    horizon=rgb("#ffe9c9"),
    ambient=(0.54, 0.55, 0.60),
    sun=(0.74, 0.62, 0.44),
    haze=rgb("#f4e6d2"),
    cloud=rgb("#fff6ea"),
    cloud_shade=rgb("#d9c3bd"),
    cover=0.5,
    shadow=0.5,
    elevation=0.42,
    lamps=0.0,
)
DUSK = Light(
    top=rgb("#3f4583"),
    middle=rgb("#b9688f"),
    horizon=rgb("#ffb35e"),
    ambient=(0.46, 0.41, 0.54),
    sun=(0.82, 0.50, 0.26),
    haze=rgb("#e79a78"),
    cloud=rgb("#ffb184"),
    cloud_shade=rgb("#8a5a86"),
    cover=0.45,
    shadow=0.45,
    elevation=0.14,
    lamps=0.75,
)
OVERCAST = Light(
    top=rgb("#8b98a6"),
    middle=rgb("#aab4be"),
    horizon=rgb("#d3d8da"),
    ambient=(0.72, 0.75, 0.79),
    sun=(0.17, 0.17, 0.17),
    haze=rgb("#c6cdd2"),
    cloud=rgb("#dfe3e6"),
    cloud_shade=rgb("#8995a1"),
    cover=-0.6,
    shadow=0.22,
    elevation=0.9,
    lamps=0.15,
)
NIGHT = Light(
    top=rgb("#0b1233"),
    middle=rgb("#1f2d60"),
    horizon=rgb("#4f5f98"),
    ambient=(0.28, 0.34, 0.54),
    sun=(0.26, 0.29, 0.40),
    haze=rgb("#3b4a80"),
    cloud=rgb("#5a6aa0"),
    cloud_shade=rgb("#232f5c"),
    cover=0.9,
    shadow=0.4,
    elevation=0.78,
    lamps=1.0,
)
_LIGHTS = ((DAY, 0.44), (MORNING, 0.16), (DUSK, 0.17), (OVERCAST, 0.13), (NIGHT, 0.10))

SPRING = Season(
    grass=(rgb("#7fb84f"), rgb("#a3cf5f")),
    ground=Texture.FLOWERS,
    specks=(rgb("#fff7fb"), rgb("#ffe46b")),
    leaves=(rgb("#7fb544"), rgb("#9ac750"), rgb("#68a648")),
    blossom=0.45,
)
SUMMER = Season(
    grass=(rgb("#5c9a43"), rgb("#80b34d")),
    ground=Texture.GRASS,
    specks=(rgb("#80b34d"),),
    leaves=(rgb("#3f8038"), rgb("#568f3c"), rgb("#2f7043")),
    blossom=0.0,
)
AUTUMN = Season(
    grass=(rgb("#9aa24a"), rgb("#b3a94f")),
    ground=Texture.LITTER,
    specks=(rgb("#b1552a"), rgb("#8c4a2c")),
    leaves=(rgb("#cf6a28"), rgb("#e2a034"), rgb("#b23f2c"), rgb("#dcbb3e")),
    blossom=0.0,
)
DROUGHT = Season(
    grass=(rgb("#c0a95a"), rgb("#d8c377")),
    ground=Texture.GRASS,
    specks=(rgb("#d8c377"),),
    leaves=(rgb("#6f8744"), rgb("#8d9651"), rgb("#5f7c4b")),
    blossom=0.0,
)
_SEASONS = ((SPRING, 0.28), (SUMMER, 0.38), (AUTUMN, 0.24), (DROUGHT, 0.10))


def draw_mood(rng: Random) -> Mood:
    """Return a random light and season; the light direction and the shadows follow from the sun's position."""
    light = rng.choices([item for item, _ in _LIGHTS], [share for _, share in _LIGHTS])[0]
    season = rng.choices([item for item, _ in _SEASONS], [share for _, share in _SEASONS])[0]
    side = 1 if rng.random() < 0.5 else -1
    sun_x = 0.5 + side * (0.12 + 0.3 * rng.random())
    height = light.elevation * (0.85 + 0.3 * rng.random())
    low = 1 - min(height, 1)
    x, y, z = side * (0.45 + 0.3 * low), -(0.35 + 0.45 * min(height, 1)), 0.62
    norm = (x * x + y * y + z * z) ** 0.5
    return Mood(
        light=light,
        season=season,
        sun=(sun_x, min(height, 0.88)),
        direction=(x / norm, y / norm, z / norm),
        shadow=(-side * (0.35 + 0.75 * low), -0.16 - 0.12 * rng.random()),
        cloud_offset=(8 * rng.random(), 8 * rng.random()),
    )
