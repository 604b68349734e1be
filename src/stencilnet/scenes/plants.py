"""Trees, bushes, hedges and flower beds. Sizes are in metres of a toy world in which a person is 1.5 m tall."""

import math

from stencilnet.scenes.pen import Pen
from stencilnet.scenes.sketch import Colour, Material, gain, mix, rgb, vary
from stencilnet.scenes.spaces import Fine
from stencilnet.scenes.textures import Texture

_BARK = Material(label=Fine.TREE, colour=rgb("#6b4a33"), texture=Texture.BOARDS, grain=0.16, bulge=(0.9, 0.0))
_BIRCH_BARK = Material(
    label=Fine.TREE,
    colour=rgb("#ece9e0"),
    second=rgb("#3a3836"),
    texture=Texture.LENTICELS,
    grain=0.3,
    bulge=(0.8, 0.0),
)
_BLOSSOMS = (rgb("#f4a9c4"), rgb("#f7c6d6"), rgb("#fbe9ee"))
_FLOWERS = (
    (Texture.BLOOMS, 0.34, rgb("#e0384a")),
    (Texture.BLOOMS, 0.2, rgb("#f8d636")),
    (Texture.SPIKES, 0.5, rgb("#8a63cc")),
    (Texture.CLUSTERS, 0.36, rgb("#ff93bb")),
)


def _crown(colour: Colour, label: Fine = Fine.TREE, grain: float = 0.42) -> Material:
    return Material(
        label=label,
        colour=colour,
        second=mix(gain(colour, 1.22), (1.0, 0.95, 0.45), 0.12),
        texture=Texture.LEAVES,
        grain=grain,
        bulge=(0.75, 0.8),
    )


def broadleaf(pen: Pen) -> None:
    """Draw a tree with a round crown of several lumps in the season's colours; in spring it may bloom."""
    rng = pen.rng
    blooming = rng.random() < pen.mood.season.blossom
    colour = vary(rng.choice(_BLOSSOMS if blooming else pen.mood.season.leaves), rng, 0.1)
    height, width = 3.0 + 1.1 * rng.random(), 1.0 + 0.35 * rng.random()
    lean = 0.2 * (rng.random() - 0.5)
    pen.polygon([(-0.2, 0), (0.2, 0), (0.12 + lean, height * 0.6), (-0.1 + lean, height * 0.6)], _BARK, casts=True)
    pen.line((0, height * 0.35), (0.55, height * 0.6), 0.13, _BARK)
    pen.line((0, height * 0.38), (-0.5, height * 0.58), 0.12, _BARK)
    lumps = (
        (-0.55, 0.6, 0.72, 0.78),
        (0.55, 0.6, 0.72, 0.8),
        (0.0, 0.68, 0.95, 0.88),
        (-0.3, 0.8, 0.68, 1.0),
        (0.34, 0.83, 0.62, 1.06),
    )
    for cx, cy, radius, light in lumps:
        material = _crown(gain(colour, light), grain=0.3 if blooming else 0.42)
        if blooming:
            material = Material(
                label=Fine.TREE,
                colour=gain(colour, 0.9 * light),
                second=gain(mix(colour, (1.0, 1.0, 1.0), 0.5), light),
                texture=Texture.BLOOMS,
                grain=0.3,
                bulge=(0.75, 0.8),
            )
        wobble = 0.9 + 0.2 * rng.random()
        pen.blob(cx * width + lean, cy * height, radius * width * wobble, radius * width * 0.82, material, casts=True)


def conifer(pen: Pen) -> None:
    """Draw a fir of four tiers, bluish green all year."""
    rng = pen.rng
    colour = vary(mix(rgb("#2f6b4a"), rgb("#3c7a5e"), rng.random()), rng, 0.12)
    height, width = 3.4 + 1.4 * rng.random(), 0.95 + 0.25 * rng.random()
    pen.box(-0.14, 0, 0.14, 0.6, _BARK, casts=True)
    tiers = 4
    for k in range(tiers):
        low = 0.4 + (height - 0.6) * k / tiers * 0.92
        top = low + (height - 0.4) / tiers * 1.55
        half = width * (1 - 0.78 * k / tiers)
        jag = 0.12 * (1 - 0.5 * k / tiers)
        skirt = [(0.0, min(top, height)), (half, low + jag * 0.4)]
        skirt += [(half * (1 - 2 * j / 6), low - (jag if j % 2 else -jag * 0.3)) for j in range(1, 6)]
        skirt.append((-half, low + jag * 0.4))
        material = Material(
            label=Fine.TREE,
            colour=gain(colour, 0.84 + 0.09 * k),
            second=gain(colour, 1.35),
            texture=Texture.NEEDLES,
            grain=0.3,
            bulge=(0.8, 0.1),
            tilt=(0.0, -0.25),
        )
        pen.polygon(skirt, material, casts=True)


def poplar(pen: Pen) -> None:
    """Draw a tree with a tall, narrow crown."""
    rng = pen.rng
    colour = vary(gain(pen.mood.season.leaves[0], 0.85), rng, 0.1)
    height = 3.9 + 1.2 * rng.random()
    pen.box(-0.12, 0, 0.12, 0.9, _BARK, casts=True)
    pen.blob(0, height * 0.55, 0.62, height * 0.45, _crown(gain(colour, 0.86)), casts=True)
    pen.blob(0.05, height * 0.66, 0.42, height * 0.31, _crown(colour))


def birch(pen: Pen) -> None:
    """Draw a tree with a slender white trunk and a light, yellowish crown."""
    rng = pen.rng
    colour = vary(mix(pen.mood.season.leaves[1], rgb("#d9d24a"), 0.3), rng, 0.1)
    height, lean = 3.6 + 0.9 * rng.random(), 0.25 * (rng.random() - 0.5)
    pen.polygon(
        [(-0.13, 0), (0.13, 0), (lean + 0.05, height * 0.85), (lean - 0.05, height * 0.85)], _BIRCH_BARK, casts=True
    )
    for cx, cy, radius, light in (
        (0.0, 0.72, 0.5, 0.8),
        (-0.4, 0.62, 0.42, 0.86),
        (0.42, 0.68, 0.44, 0.92),
        (-0.18, 0.82, 0.46, 1.0),
        (0.22, 0.9, 0.4, 1.08),
    ):
        pen.blob(cx + lean, cy * height, radius, radius * 0.9, _crown(gain(colour, light), grain=0.26), casts=True)


def palm(pen: Pen) -> None:
    """Draw a palm with a bent, ringed trunk and a star of fronds."""
    rng = pen.rng
    lean, height = 0.9 * (rng.random() - 0.3), 3.3 + 0.9 * rng.random()
    trunk = Material(label=Fine.TREE, colour=rgb("#9a7650"), texture=Texture.PLANKS, grain=0.22, bulge=(0.9, 0.0))
    steps = [k / 5 for k in range(6)]
    left = [(lean * t * t - 0.16 + 0.06 * t, height * t) for t in steps]
    right = [(lean * t * t + 0.16 - 0.06 * t, height * t) for t in reversed(steps)]
    pen.polygon(left + right, trunk, casts=True)
    colour = vary(rgb("#5a9a3e"), rng, 0.1)
    for k in range(9):
        angle = math.pi * (0.5 + 1.25 * ((k * 4 % 9) / 8 - 0.5)) + 0.12 * (rng.random() - 0.5)
        length = 1.35 + 0.3 * rng.random()
        dx, dy = math.cos(angle) * length, math.sin(angle) * length * 0.75
        droop = 0.5 + 0.25 * abs(math.cos(angle))
        tip = (lean + dx, height + dy - droop)
        upper = (lean + 0.55 * dx, height + 0.72 * dy + 0.14)
        lower = (lean + 0.5 * dx, height + 0.5 * dy - 0.2)
        frond = _crown(gain(colour, 0.78 + 0.4 * math.sin(angle) * 0.6 + 0.12 * (k % 2)), grain=0.25)
        pen.polygon([(lean, height + 0.05), upper, tip, lower], frond, casts=True)


def bush(pen: Pen) -> None:
    """Draw a low, lumpy shrub; the shape of its flowers determines their colour."""
    rng = pen.rng
    base = vary(gain(mix(pen.mood.season.leaves[0], rgb("#6aa043"), 0.4), 0.92), rng, 0.12)
    texture, grain, flower = rng.choice(_FLOWERS)
    blooms = rng.random() < 0.7
    material = Material(
        label=Fine.BUSH,
        colour=base,
        second=vary(flower, rng) if blooms else gain(base, 1.3),
        texture=texture if blooms else Texture.LEAVES,
        grain=grain,
        bulge=(0.7, 0.7),
    )
    width, height = 0.75 + 0.35 * rng.random(), 0.5 + 0.25 * rng.random()
    for cx, share in ((-0.6, 0.8), (0.62, 0.75), (0.0, 1.0)):
        pen.blob(cx * width, height * share * 0.85, width * 0.62, height * share * 0.95, material, casts=True)


def hedge(pen: Pen) -> None:
    """Draw a long clipped hedge."""
    rng = pen.rng
    colour = vary(mix(pen.mood.season.leaves[2], rgb("#3d7a3f"), 0.6), rng, 0.1)
    half, height = 1.5 + 1.2 * rng.random(), 0.75 + 0.2 * rng.random()
    side = Material(
        label=Fine.BUSH, colour=gain(colour, 0.86), second=gain(colour, 1.15), texture=Texture.LEAVES, grain=0.3
    )
    top = Material(
        label=Fine.BUSH,
        colour=gain(colour, 1.2),
        second=gain(colour, 1.4),
        texture=Texture.LEAVES,
        grain=0.3,
        tilt=(0, -0.4),
    )
    pen.box(-half, 0, half, height, side, casts=True)
    pen.polygon([(-half, height), (half, height), (half - 0.12, height + 0.24), (-half + 0.12, height + 0.24)], top)


def flower_bed(pen: Pen) -> None:
    """Draw a low patch of flowers of one kind."""
    rng = pen.rng
    texture, grain, flower = rng.choice(_FLOWERS)
    material = Material(
        label=Fine.BUSH,
        colour=vary(rgb("#5f9440"), rng),
        second=vary(flower, rng),
        texture=texture,
        grain=grain,
        tilt=(0.0, -0.4),
    )
    pen.blob(0, 0.14, 1.1 + 0.5 * rng.random(), 0.32, material, casts=True)
