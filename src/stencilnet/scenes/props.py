"""Cars, boats, balloons and parasols."""

from random import Random

from stencilnet.scenes.pen import Pen
from stencilnet.scenes.sketch import Colour, Material, gain, rgb, rounded, vary
from stencilnet.scenes.spaces import Fine
from stencilnet.scenes.textures import Texture

_TYRE = Material(label=Fine.CAR, colour=rgb("#23242a"))
_HUB = Material(label=Fine.CAR, colour=rgb("#c9ced4"), bulge=(0.5, 0.5))
_PANE = Material(label=Fine.CAR, colour=rgb("#8fb3c7"), tilt=(0.0, -0.25))
_CHROME = Material(label=Fine.CAR, colour=rgb("#d5d8dc"))
_WHITE = rgb("#f7f3e9")
_PATTERNS: tuple[tuple[Texture, Colour, Colour], ...] = (
    (Texture.GORES, rgb("#d6332f"), _WHITE),
    (Texture.GORES, rgb("#d6332f"), _WHITE),
    (Texture.DOTS, rgb("#2e6fc0"), _WHITE),
    (Texture.ZIGZAG, rgb("#f2a91f"), rgb("#a3301f")),
    (Texture.BANDS, rgb("#2f9a76"), rgb("#f5d75a")),
    (Texture.CHECKS, rgb("#6d3f9c"), rgb("#f0a3c4")),
)
"""Pattern, first and second colour of balloons and parasols. The pattern determines the colours."""

_HATCH = rounded([(-1.2, 0.28), (1.22, 0.28), (1.28, 0.62), (1.1, 0.82), (0.62, 0.88), (-1.12, 0.9), (-1.26, 0.6)])
_VAN = rounded([(-1.35, 0.28), (1.3, 0.28), (1.38, 0.7), (1.15, 1.0), (0.8, 1.5), (-1.35, 1.56), (-1.42, 0.8)])
_SALOON = rounded([(-1.4, 0.28), (1.4, 0.28), (1.45, 0.6), (1.2, 0.8), (0.7, 0.85), (-0.95, 0.87), (-1.38, 0.82)])


def car(pen: Pen) -> None:
    """Draw a hatchback, van, saloon or taxi from the side; each kind has its own typical colours."""
    rng = pen.rng
    kind = rng.choice(("hatch", "hatch", "van", "saloon", "taxi"))
    colours = {
        "hatch": (rgb("#cf2f2c"), rgb("#d94a2b"), rgb("#c22745")),
        "van": (rgb("#3f8fae"), rgb("#58a89a")),
        "saloon": (rgb("#2f4a7d"), rgb("#3a3f49"), rgb("#4a5f86")),
        "taxi": (rgb("#f3bd1d"),),
    }
    body = Material(label=Fine.CAR, colour=vary(rng.choice(colours[kind]), rng), bulge=(0.2, 0.65))
    pane = (
        Material(label=Fine.CAR, colour=rgb("#ffdf9a"), glow=0.5)
        if rng.random() < 0.3 * pen.mood.light.lamps
        else _PANE
    )
    if kind == "van":
        pen.polygon(_VAN, body, casts=True)
        pen.box(-1.39, 0.78, 1.25, 0.95, Material(label=Fine.CAR, colour=_WHITE, bulge=(0.2, 0.65)))
        pen.polygon([(0.35, 1.0), (1.05, 1.0), (0.76, 1.4), (0.35, 1.42)], pane)
        pen.box(-0.35, 1.02, 0.2, 1.42, pane)
        pen.box(-1.15, 1.02, -0.5, 1.42, pane)
    elif kind == "hatch":
        pen.polygon([(-1.1, 0.85), (0.68, 0.85), (0.3, 1.32), (-0.75, 1.34)], body, casts=True)
        pen.polygon(_HATCH, body, casts=True)
        pen.polygon([(-0.3, 0.9), (0.5, 0.9), (0.22, 1.23), (-0.3, 1.25)], pane)
        pen.polygon([(-0.94, 0.9), (-0.4, 0.9), (-0.4, 1.25), (-0.7, 1.25)], pane)
    else:
        pen.polygon([(-0.95, 0.82), (0.78, 0.82), (0.42, 1.28), (-0.62, 1.28)], body, casts=True)
        pen.polygon(_SALOON, body, casts=True)
        pen.polygon([(0.0, 0.87), (0.6, 0.87), (0.36, 1.2), (0.0, 1.2)], pane)
        pen.polygon([(-0.78, 0.87), (-0.1, 0.87), (-0.1, 1.2), (-0.56, 1.2)], pane)
    if kind == "taxi":
        checks = Material(label=Fine.CAR, colour=rgb("#26262a"), second=_WHITE, texture=Texture.CHECKS, grain=0.28)
        pen.box(-1.3, 0.5, 1.3, 0.66, checks)
        pen.box(-0.2, 1.28, 0.2, 1.42, Material(label=Fine.CAR, colour=_WHITE, glow=0.3))
    pen.box(-1.35, 0.26, 1.35, 0.38, _CHROME)
    lamp = Material(label=Fine.CAR, colour=rgb("#fff0c0"), glow=max(0.2, pen.mood.light.lamps))
    pen.ellipse(1.24, 0.6, 0.1, 0.11, lamp)
    for x in (-0.78, 0.78):
        pen.ellipse(x, 0.3, 0.32, 0.32, _TYRE, casts=True)
        pen.ellipse(x, 0.3, 0.15, 0.15, _HUB)


def sailing_boat(pen: Pen) -> None:
    """Draw a sailing boat; striped sails are red, plain ones white, banded ones orange."""
    rng = pen.rng
    texture, colour, second = rng.choice(
        (
            (Texture.STRIPES, rgb("#cc3a33"), _WHITE),
            (Texture.PLAIN, rgb("#f8f4ea"), _WHITE),
            (Texture.PLAIN, rgb("#f8f4ea"), _WHITE),
            (Texture.BANDS, rgb("#e58a2e"), rgb("#f7dfa8")),
        )
    )
    sail = Material(
        label=Fine.BOAT, colour=vary(colour, rng), second=second, texture=texture, grain=0.5, bulge=(0.55, 0.0)
    )
    wood = Material(label=Fine.BOAT, colour=rgb("#7b4d2d"))
    _hull(pen, 1.5)
    pen.box(-0.06, 0.45, 0.06, 3.3, wood)
    pen.polygon([(0.12, 0.62), (1.3, 0.7), (0.75, 1.6), (0.12, 3.2)], sail)
    pen.polygon([(-0.12, 0.7), (-1.25, 0.62), (-0.55, 1.7), (-0.1, 2.9)], sail)


def _hull(pen: Pen, half: float) -> None:
    rng = pen.rng
    colour = rng.choice((rgb("#8a4f2c"), rgb("#2f5f8f"), rgb("#a83a32"), rgb("#f0ece2")))
    painted = colour != rgb("#8a4f2c")
    hull = Material(
        label=Fine.BOAT,
        colour=vary(colour, rng),
        texture=Texture.PLAIN if painted else Texture.PLANKS,
        grain=0.16,
        bulge=(0.0, 0.6),
    )
    pen.polygon([(-half * 0.82, 0), (half * 0.8, 0), (half * 1.08, 0.56), (-half, 0.5)], hull)
    rim = Material(label=Fine.BOAT, colour=_WHITE if painted else gain(colour, 0.7))
    pen.polygon([(half * 1.08, 0.48), (half * 1.1, 0.58), (-half * 1.02, 0.54), (-half, 0.44)], rim)


def steamer(pen: Pen) -> None:
    """Draw a small steamer with cabin, portholes and a funnel."""
    rng = pen.rng
    cabin = Material(label=Fine.BOAT, colour=_WHITE)
    funnel = Material(
        label=Fine.BOAT,
        colour=rgb("#d0402f"),
        second=rgb("#26262b"),
        texture=Texture.BANDS,
        grain=0.7,
        bulge=(0.85, 0.0),
    )
    lit = rng.random() < pen.mood.light.lamps
    pane = Material(label=Fine.BOAT, colour=rgb("#ffd27a") if lit else rgb("#47627d"), glow=0.9 if lit else 0.0)
    pen.box(-0.1, 1.0, 0.38, 2.0, funnel)
    pen.box(-0.95, 0.4, 0.75, 1.15, cabin)
    pen.box(-1.05, 1.12, 0.85, 1.22, Material(label=Fine.BOAT, colour=rgb("#8a4f2c"), tilt=(0.0, -0.3)))
    for k in range(4):
        pen.ellipse(-0.72 + 0.4 * k, 0.8, 0.12, 0.13, pane)
    _hull(pen, 1.7)


def rowing_boat(pen: Pen) -> None:
    """Draw a small rowing boat with a person seen from behind."""
    rng = pen.rng
    _hull(pen, 1.15)
    oar = Material(label=Fine.BOAT, colour=rgb("#caa06a"))
    pen.line((-0.3, 0.6), (-1.3, 0.0), 0.08, oar)
    cloth = Material(label=Fine.PERSON, colour=vary(rgb("#c2782c"), rng), bulge=(0.7, 0.0))
    pen.polygon([(-0.25, 0.52), (0.2, 0.52), (0.14, 1.0), (-0.2, 1.0)], cloth)
    pen.ellipse(-0.03, 1.15, 0.18, 0.19, Material(label=Fine.PERSON, colour=rgb("#d9b56a"), bulge=(0.6, 0.6)))


def _patterned(label: Fine, rng: Random, grain: float, bulge: tuple[float, float]) -> Material:
    texture, colour, second = rng.choice(_PATTERNS)
    return Material(label=label, colour=vary(colour, rng), second=second, texture=texture, grain=grain, bulge=bulge)


def hot_air_balloon(pen: Pen) -> None:
    """Draw a hot-air balloon with its foot at the bottom of the basket; it is too high to cast a shadow."""
    rng = pen.rng
    skin = _patterned(Fine.BALLOON, rng, 0.8, (0.85, 0.85))
    rope = Material(label=Fine.BALLOON, colour=rgb("#5a4632"))
    basket = Material(
        label=Fine.BALLOON, colour=rgb("#9a6a3c"), texture=Texture.CHECKS, second=rgb("#7a5230"), grain=0.16
    )
    for x in (-1, 1):
        pen.line((x * 0.18, 0.3), (x * 0.42, 0.95), 0.05, rope)
    outline = [(-0.42, 0.9), (-0.95, 1.55), (-1.25, 2.2), (-1.22, 2.8), (-0.9, 3.3), (-0.4, 3.6), (0, 3.66)]
    pen.polygon(rounded(outline + [(-x, y) for x, y in reversed(outline[:-1])]), skin)
    pen.box(-0.22, 0, 0.22, 0.38, basket)


def beach_ball(pen: Pen) -> None:
    """Draw a large ball on the ground."""
    rng = pen.rng
    pen.ellipse(0, 0.5, 0.5, 0.5, _patterned(Fine.BALLOON, rng, 0.4, (0.9, 0.9)), casts=True)


def toy_balloons(pen: Pen) -> None:
    """Draw three balloons on strings."""
    rng = pen.rng
    string = Material(label=Fine.BALLOON, colour=rgb("#e9e4da"))
    for dx, top in ((-0.42, 1.9), (0.4, 2.05), (0.0, 2.5)):
        pen.line((0, 0.1), (dx, top - 0.4), 0.05, string)
        pen.ellipse(dx, top, 0.36, 0.44, _patterned(Fine.BALLOON, rng, 0.32, (0.9, 0.9)), casts=True)


def parasol(pen: Pen) -> None:
    """Draw a parasol with a scalloped edge."""
    rng = pen.rng
    skin = _patterned(Fine.PARASOL, rng, 0.6, (0.75, 0.5))
    pole = Material(label=Fine.PARASOL, colour=rgb("#efe6d6"))
    lean = 0.3 * (rng.random() - 0.5)
    pen.line((0, 0), (lean, 2.1), 0.1, pole, casts=True)
    half, low, high = 1.35, 1.45, 2.25
    arch = [
        (-1.0, 0.0),
        (-0.88, 0.42),
        (-0.62, 0.75),
        (-0.3, 0.94),
        (0.0, 1.0),
        (0.3, 0.94),
        (0.62, 0.75),
        (0.88, 0.42),
        (1.0, 0.0),
    ]
    scallops = [(1 - 2 * k / 8, 0.0 if k % 2 == 0 else 0.16) for k in range(1, 8)]
    pen.polygon([(lean + half * x, low + (high - low) * y) for x, y in arch + scallops], skin, casts=True)
    pen.line((lean, 2.2), (lean * 1.1, 2.42), 0.08, pole)
