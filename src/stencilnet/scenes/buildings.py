"""Houses, fences and lamp posts. A cottage shows its gable and, foreshortened, one long side."""

from dataclasses import dataclass
from random import Random

from stencilnet.scenes.pen import Pen
from stencilnet.scenes.sketch import Colour, Material, gain, mix, rgb, vary
from stencilnet.scenes.spaces import Fine
from stencilnet.scenes.textures import Texture


@dataclass(frozen=True, kw_only=True)
class _Wall:
    texture: Texture
    grain: float
    colours: tuple[Colour, ...]
    second: Colour
    roofs: tuple[int, ...]
    """Indices in `_ROOFS` of the roofs that fit the wall."""


_WALLS = (
    _Wall(
        texture=Texture.BRICK,
        grain=0.6,
        colours=(rgb("#b5573f"), rgb("#a3493a")),
        second=rgb("#dccbb8"),
        roofs=(1, 1, 0),
    ),
    _Wall(
        texture=Texture.PLANKS,
        grain=0.3,
        colours=(rgb("#9cc0d6"), rgb("#a9cfae"), rgb("#8fb4c9")),
        second=rgb("#ffffff"),
        roofs=(1,),
    ),
    _Wall(
        texture=Texture.BOARDS,
        grain=0.36,
        colours=(rgb("#a5342c"), rgb("#93372f")),
        second=rgb("#ffffff"),
        roofs=(1, 2),
    ),
    _Wall(
        texture=Texture.PLAIN,
        grain=1.0,
        colours=(rgb("#f1dfae"), rgb("#f3ead6"), rgb("#eec98f"), rgb("#f0c4a8")),
        second=rgb("#ffffff"),
        roofs=(0, 0, 2),
    ),
    _Wall(
        texture=Texture.STONE, grain=0.62, colours=(rgb("#a9a49a"), rgb("#b8ab94")), second=rgb("#837c72"), roofs=(1, 2)
    ),
)
_ROOFS = (
    (Texture.TILES, 0.34, (rgb("#c4613c"), rgb("#b24f34"), rgb("#cf7448")), rgb("#ffffff")),
    (Texture.SLATE, 0.5, (rgb("#5b6779"), rgb("#4d5a68")), rgb("#39424e")),
    (Texture.THATCH, 0.3, (rgb("#c39a54"), rgb("#b08a4c")), rgb("#ffffff")),
)
_TRIM = Material(label=Fine.HOUSE, colour=rgb("#f4f1ea"))
_SHUTTERS = (rgb("#3f6f5d"), rgb("#48628f"), rgb("#7d3b35"), rgb("#5c4a3c"))
_DARK_GLASS = rgb("#4b6178")
_WARM_GLASS = rgb("#ffd27a")


def _glass(pen: Pen) -> Material:
    rng = pen.rng
    lit = rng.random() < pen.mood.light.lamps
    return Material(
        label=Fine.HOUSE,
        colour=_WARM_GLASS if lit else _DARK_GLASS,
        tilt=(0.0, -0.2),
        glow=0.95 if lit else 0.0,
    )


def _window(
    pen: Pen, cx: float, cy: float, size: tuple[float, float], glass: Material, shutter: Material | None
) -> None:
    half, tall = size[0] / 2, size[1] / 2
    if shutter is not None:
        pen.box(cx - 2.0 * half, cy - tall, cx + 2.0 * half, cy + tall, shutter)
    pen.box(cx - half - 0.08, cy - tall - 0.08, cx + half + 0.08, cy + tall + 0.08, _TRIM)
    pen.box(cx - half, cy - tall, cx + half, cy + tall, glass)
    pen.box(cx - 0.035, cy - tall, cx + 0.035, cy + tall, _TRIM)
    pen.box(cx - half, cy - 0.03, cx + half, cy + 0.03, _TRIM)


def _surfaces(rng: Random) -> tuple[Material, Material, Material]:
    """Return the materials of a house's gable wall, side wall and roof."""
    kind = rng.choice(_WALLS)
    texture, grain, colours, second = _ROOFS[rng.choice(kind.roofs)]
    wall, tile = vary(rng.choice(kind.colours), rng, 0.07), vary(rng.choice(colours), rng, 0.08)
    front = Material(label=Fine.HOUSE, colour=wall, second=kind.second, texture=kind.texture, grain=kind.grain)
    side = Material(
        label=Fine.HOUSE, colour=wall, second=kind.second, texture=kind.texture, grain=kind.grain, tilt=(0.55, 0.0)
    )
    roof = Material(label=Fine.HOUSE, colour=tile, second=second, texture=texture, grain=grain, tilt=(0.15, -0.45))
    return front, side, roof


def cottage(pen: Pen) -> None:
    """Draw a gabled house in three-quarter view with a chimney."""
    rng = pen.rng
    front, side, roof = _surfaces(rng)
    gable, wall, ridge = 1.9 + 0.3 * rng.random(), 1.7 + 0.4 * rng.random(), 1.1 + 0.35 * rng.random()
    length, rise = 1.7 + 0.9 * rng.random(), 0.14
    left, middle, right = -1.7, -1.7 + gable, -1.7 + gable + length
    top = (left + gable / 2, wall + ridge)
    far = (top[0] + length, wall + ridge + rise * 0.4)
    chimney = right - length * (0.35 + 0.3 * rng.random())
    stone = Material(
        label=Fine.HOUSE, colour=vary(rgb("#8d5a48"), rng), texture=Texture.BRICK, grain=0.4, second=rgb("#cbb8a6")
    )
    pen.box(chimney - 0.2, wall + ridge * 0.5, chimney + 0.2, wall + ridge + 0.5, stone, casts=True)
    pen.polygon([(middle, 0), (right, rise), (right, wall + rise), (middle, wall)], side, casts=True)
    pen.polygon([(left, 0), (middle, 0), (middle, wall), top, (left, wall)], front, casts=True)
    eave = [(middle + 0.16, wall - 0.16), (right + 0.14, wall + rise - 0.16), far, (top[0] - 0.05, top[1] + 0.06)]
    pen.polygon(eave, roof, casts=True)
    verge = Material(label=Fine.HOUSE, colour=gain(roof.colour, 0.62))
    pen.line((left - 0.16, wall - 0.16), (top[0], top[1] + 0.02), 0.17, verge)
    pen.line((middle + 0.16, wall - 0.16), (top[0], top[1] + 0.02), 0.17, verge)
    shutter = Material(label=Fine.HOUSE, colour=rng.choice(_SHUTTERS), texture=Texture.PLANKS, grain=0.1)
    door = Material(label=Fine.HOUSE, colour=rng.choice(_SHUTTERS), texture=Texture.BOARDS, grain=0.16)
    centre = left + gable / 2
    pen.box(centre - 0.36, 0, centre + 0.36, 1.08, _TRIM)
    pen.box(centre - 0.28, 0, centre + 0.28, 1.0, door)
    _window(pen, centre, wall + 0.18, (0.5, 0.5), _glass(pen), None)
    for k in range(2):
        along = (k + 0.55) / 2.1
        _window(pen, middle + length * along, wall * 0.55 + rise * along, (0.4, 0.6), _glass(pen), shutter)


def town_house(pen: Pen) -> None:
    """Draw a tall front with rows of windows, a hipped roof and sometimes an awning."""
    rng = pen.rng
    front, _, roof = _surfaces(rng)
    half, storeys = 1.15 + 0.45 * rng.random(), rng.choice((2, 2, 3))
    wall = 1.25 * storeys
    pen.box(half * 0.3, wall, half * 0.3 + 0.35, wall + 1.15, front)
    pen.box(-half, 0, half, wall, front, casts=True)
    pen.polygon(
        [(-half - 0.15, wall), (half + 0.15, wall), (half * 0.6, wall + 0.95), (-half * 0.6, wall + 0.95)],
        roof,
        casts=True,
    )
    pen.box(-half - 0.15, wall - 0.1, half + 0.15, wall + 0.05, _TRIM)
    count = 2 if half < 1.35 else 3
    for storey in range(1, storeys):
        for k in range(count):
            _window(pen, half * (2 * (k + 0.5) / count - 1), 1.25 * storey + 0.55, (0.42, 0.66), _glass(pen), None)
    door = Material(label=Fine.HOUSE, colour=rng.choice(_SHUTTERS), texture=Texture.BOARDS, grain=0.16)
    pen.box(-half * 0.75, 0, -half * 0.75 + 0.55, 0.95, door)
    _window(pen, half * 0.35, 0.5, (half * 0.8, 0.6), _glass(pen), None)
    if rng.random() < 0.6:
        striped = rng.random() < 0.65
        awning = Material(
            label=Fine.HOUSE,
            colour=rgb("#c9382f") if striped else rgb("#3c7a5a"),
            second=rgb("#fbf3e6") if striped else rgb("#3c7a5a"),
            texture=Texture.STRIPES if striped else Texture.PLAIN,
            grain=0.42,
            tilt=(0.0, -0.35),
        )
        pen.polygon([(-0.05 * half, 1.12), (0.95 * half, 1.12), (1.05 * half, 0.8), (-0.15 * half, 0.8)], awning)


def lighthouse(pen: Pen) -> None:
    """Draw a tapering tower with red bands and a lamp."""
    rng = pen.rng
    tower = Material(
        label=Fine.HOUSE,
        colour=vary(rgb("#cf3b34"), rng),
        second=rgb("#f6f1e8"),
        texture=Texture.BANDS,
        grain=1.4,
        bulge=(0.85, 0.0),
    )
    lamp = Material(label=Fine.HOUSE, colour=_WARM_GLASS, glow=max(0.35, 0.95 * pen.mood.light.lamps))
    dark = Material(label=Fine.HOUSE, colour=rgb("#3c4552"), bulge=(0.8, 0.0))
    pen.polygon([(-0.75, 0), (0.75, 0), (0.45, 4.0), (-0.45, 4.0)], tower, casts=True)
    pen.box(-0.62, 3.95, 0.62, 4.12, dark, casts=True)
    pen.box(-0.34, 4.12, 0.34, 4.65, lamp, casts=True)
    pen.polygon([(-0.48, 4.65), (0.48, 4.65), (0, 5.15)], dark, casts=True)
    pen.box(-0.2, 0, 0.2, 0.75, dark)


def fence(pen: Pen) -> None:
    """Draw pickets, rails or a dry stone wall; the type determines the colour."""
    rng = pen.rng
    half = 1.8 + 1.8 * rng.random()
    kind = rng.choice(("pickets", "pickets", "rails", "stones"))
    if kind == "stones":
        stones = Material(
            label=Fine.FENCE, colour=vary(rgb("#aaa294"), rng), second=rgb("#6f685e"), texture=Texture.STONE, grain=0.5
        )
        pen.box(-half, 0, half, 0.72, stones, casts=True)
        cap = Material(label=Fine.FENCE, colour=rgb("#c4bdb0"), tilt=(0.0, -0.4))
        pen.box(-half - 0.05, 0.7, half + 0.05, 0.84, cap)
        return
    if kind == "rails":
        wood = Material(label=Fine.FENCE, colour=vary(rgb("#8f6440"), rng, 0.12), texture=Texture.PLANKS, grain=0.3)
        for k in range(5):
            x = half * (k / 2 - 1)
            pen.box(x - 0.11, 0, x + 0.11, 1.0, wood, casts=True)
        for y in (0.22, 0.55, 0.86):
            pen.line((-half, y), (half, y + 0.03), 0.16, wood, casts=True)
        return
    white = Material(label=Fine.FENCE, colour=vary(rgb("#f3efe6"), rng, 0.04))
    count = round(half * 2 / 0.34)
    for y in (0.25, 0.6):
        pen.box(-half, y, half, y + 0.12, white, casts=True)
    for k in range(count):
        x = -half + 0.34 * (k + 0.5)
        picket = [(x - 0.11, 0), (x + 0.11, 0), (x + 0.11, 0.78), (x, 0.94), (x - 0.11, 0.78)]
        pen.polygon(picket, white, casts=True)


def lamp_post(pen: Pen) -> None:
    """Draw a street lamp (background class)."""
    iron = Material(label=Fine.BACKGROUND, colour=rgb("#39424a"), bulge=(0.8, 0.0))
    bulb = Material(
        label=Fine.BACKGROUND, colour=mix(_WARM_GLASS, (1, 1, 1), 0.3), glow=max(0.1, 0.95 * pen.mood.light.lamps)
    )
    pen.box(-0.07, 0, 0.07, 2.5, iron, casts=True)
    pen.box(-0.15, 0, 0.15, 0.2, iron)
    pen.ellipse(0, 2.68, 0.22, 0.24, bulb, casts=True)
    pen.box(-0.2, 2.86, 0.2, 2.95, iron)
