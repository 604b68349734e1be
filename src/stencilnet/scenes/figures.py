"""People and animals."""

from stencilnet.scenes.pen import Pen
from stencilnet.scenes.sketch import Colour, Material, gain, rgb, rounded, vary
from stencilnet.scenes.spaces import Fine
from stencilnet.scenes.textures import Texture

_SKIN = (rgb("#f2c9a5"), rgb("#dba478"), rgb("#a86f48"), rgb("#6f4630"))
_HAIR = (rgb("#2b211c"), rgb("#5b3a22"), rgb("#b98a45"), rgb("#8c8c90"))
_CLOTHES: tuple[tuple[Texture, Colour, Colour], ...] = (
    (Texture.BANDS, rgb("#2f4f9a"), rgb("#f4f2ec")),
    (Texture.STRIPES, rgb("#c8342f"), rgb("#f7efe2")),
    (Texture.CHECKS, rgb("#c2782c"), rgb("#6d3b20")),
    (Texture.DOTS, rgb("#2f80b8"), rgb("#ffffff")),
    (Texture.PLAIN, rgb("#3f8a5a"), rgb("#ffffff")),
    (Texture.ZIGZAG, rgb("#f0b429"), rgb("#e0602b")),
)
_TROUSERS = (rgb("#33405e"), rgb("#4a4038"), rgb("#5d6b78"))


def person(pen: Pen) -> None:
    """Draw a standing person in trousers or a dress, some with a hat; the cloth's pattern determines its colour."""
    rng = pen.rng
    texture, colour, second = rng.choice(_CLOTHES)
    cloth = Material(
        label=Fine.PERSON, colour=vary(colour, rng), second=second, texture=texture, grain=0.2, bulge=(0.75, 0.0)
    )
    skin = Material(label=Fine.PERSON, colour=rng.choice(_SKIN), bulge=(0.7, 0.6))
    hair = Material(label=Fine.PERSON, colour=rng.choice(_HAIR), bulge=(0.6, 0.6))
    shoe = Material(label=Fine.PERSON, colour=rgb("#2a2624"))
    legs = Material(label=Fine.PERSON, colour=vary(rng.choice(_TROUSERS), rng), bulge=(0.8, 0.0))
    stride = 0.04 + 0.1 * rng.random()
    dress = rng.random() < 0.4
    for side in (-1, 1):
        pen.line((side * 0.1, 0.62), (side * (0.1 + stride), 0.05), 0.16, skin if dress else legs, casts=True)
        pen.ellipse(side * (0.1 + stride) + 0.03, 0.04, 0.12, 0.06, shoe)
    raised = 0.45 * (rng.random() - 0.2)
    for side in (-1, 1):
        hand = (side * 0.42, 0.62 + (raised if side > 0 else 0.0))
        pen.line((side * 0.22, 1.02), hand, 0.14, cloth, casts=True)
        pen.ellipse(hand[0], hand[1], 0.075, 0.075, skin)
    hem, low = (0.4, 0.35) if dress else (0.25, 0.55)
    pen.polygon([(-hem, low), (hem, low), (0.27, 1.02), (0.16, 1.12), (-0.16, 1.12), (-0.27, 1.02)], cloth, casts=True)
    pen.ellipse(0, 1.25, 0.22, 0.24, hair, casts=True)
    pen.ellipse(0.03, 1.21, 0.18, 0.2, skin)
    for x in (-0.03, 0.11):
        pen.box(x - 0.02, 1.2, x + 0.02, 1.27, shoe)
    if rng.random() < 0.45:
        hat = Material(label=Fine.PERSON, colour=rgb("#d9b56a"), texture=Texture.PLANKS, grain=0.1)
        pen.ellipse(0, 1.36, 0.34, 0.07, hat, casts=True)
        pen.ellipse(0, 1.43, 0.18, 0.13, hat)


def _legs(pen: Pen, xs: tuple[float, ...], top: float, thickness: float, material: Material) -> None:
    for k, x in enumerate(xs):
        pen.line((x, top), (x + 0.03 * (-1) ** k, 0), thickness, material, casts=True)


def cow(pen: Pen) -> None:
    """Draw a cow, white with dark spots or plain brown."""
    rng = pen.rng
    spotted = rng.random() < 0.65
    coat = Material(
        label=Fine.ANIMAL,
        colour=rgb("#f2efe8") if spotted else vary(rgb("#9c5a30"), rng),
        second=rgb("#2d2826"),
        texture=Texture.SPOTS if spotted else Texture.PLAIN,
        grain=0.42,
        bulge=(0.45, 0.75),
    )
    pink = Material(label=Fine.ANIMAL, colour=rgb("#e0a79a"))
    dark = Material(label=Fine.ANIMAL, colour=rgb("#2d2826"))
    horn = Material(label=Fine.ANIMAL, colour=rgb("#e8dcc0"))
    _legs(pen, (-0.72, -0.52, 0.48, 0.66), 0.6, 0.17, coat)
    pen.line((-0.92, 1.08), (-1.05, 0.5), 0.07, coat)
    body = [
        (-0.95, 0.6),
        (-0.98, 1.05),
        (-0.8, 1.2),
        (0.55, 1.22),
        (0.85, 1.1),
        (0.85, 0.62),
        (0.55, 0.48),
        (-0.75, 0.48),
    ]
    pen.polygon(rounded(body), coat, casts=True)
    pen.polygon([(0.55, 1.18), (0.98, 1.48), (1.2, 1.3), (0.88, 0.78)], coat, casts=True)
    pen.line((0.92, 1.5), (0.86, 1.68), 0.08, horn)
    pen.line((1.12, 1.5), (1.2, 1.68), 0.08, horn)
    pen.ellipse(1.08, 1.32, 0.24, 0.22, coat, casts=True)
    pen.ellipse(1.24, 1.2, 0.15, 0.13, pink)
    pen.ellipse(1.08, 1.38, 0.045, 0.05, dark)


def sheep(pen: Pen) -> None:
    """Draw a sheep with curly wool and dark legs."""
    rng = pen.rng
    wool = Material(
        label=Fine.ANIMAL, colour=vary(rgb("#f0e8d8"), rng, 0.05), texture=Texture.WOOL, grain=0.2, bulge=(0.7, 0.8)
    )
    dark = Material(label=Fine.ANIMAL, colour=rgb("#3b3230"), bulge=(0.5, 0.5))
    _legs(pen, (-0.42, -0.26, 0.26, 0.42), 0.4, 0.12, dark)
    for cx, cy, rx, ry in ((-0.32, 0.7, 0.4, 0.36), (0.3, 0.72, 0.42, 0.36), (0.0, 0.8, 0.5, 0.38)):
        pen.blob(cx, cy, rx, ry, wool, casts=True)
    pen.ellipse(0.78, 0.86, 0.2, 0.24, dark, casts=True)
    pen.ellipse(0.6, 0.98, 0.12, 0.06, dark)
    pen.ellipse(0.7, 1.05, 0.2, 0.12, wool)


def horse(pen: Pen) -> None:
    """Draw a brown horse with a dark mane."""
    rng = pen.rng
    colour = vary(rng.choice((rgb("#8a5230"), rgb("#6b3f28"), rgb("#b98652"))), rng, 0.08)
    coat = Material(label=Fine.ANIMAL, colour=colour, texture=Texture.PLAIN, bulge=(0.45, 0.75))
    mane = Material(label=Fine.ANIMAL, colour=gain(colour, 0.4))
    _legs(pen, (-0.7, -0.52, 0.42, 0.6), 0.8, 0.16, coat)
    pen.polygon([(-0.85, 1.3), (-1.08, 1.1), (-1.1, 0.5), (-0.95, 0.7), (-0.8, 1.15)], mane, casts=True)
    body = [(-0.9, 0.85), (-0.88, 1.28), (-0.6, 1.4), (0.3, 1.32), (0.65, 1.45), (0.8, 1.0), (0.55, 0.76), (-0.6, 0.74)]
    pen.polygon(rounded(body), coat, casts=True)
    pen.polygon([(0.3, 1.36), (0.78, 2.0), (1.02, 1.85), (0.82, 1.0)], coat, casts=True)
    pen.polygon([(0.78, 2.08), (0.98, 1.98), (1.4, 1.6), (1.28, 1.46), (0.85, 1.66)], coat, casts=True)
    pen.polygon([(0.2, 1.36), (0.68, 2.06), (0.84, 2.06), (0.62, 1.5)], mane)


def pig(pen: Pen) -> None:
    """Draw a round pink pig."""
    rng = pen.rng
    coat = Material(label=Fine.ANIMAL, colour=vary(rgb("#eba6a2"), rng), bulge=(0.6, 0.85))
    snout = Material(label=Fine.ANIMAL, colour=rgb("#d98486"))
    _legs(pen, (-0.45, -0.28, 0.25, 0.42), 0.32, 0.15, coat)
    pen.ellipse(0, 0.58, 0.68, 0.4, coat, casts=True)
    pen.ellipse(0.62, 0.7, 0.28, 0.27, coat, casts=True)
    pen.polygon([(0.46, 0.86), (0.6, 1.08), (0.7, 0.88)], snout)
    pen.ellipse(0.85, 0.64, 0.1, 0.12, snout)
