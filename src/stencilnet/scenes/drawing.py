"""`draw_scene` draws a procedural picture with its labels; `measure_scene` returns its depth and normals."""

from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from stencilnet.scenes.geometry import Geometry, survey
from stencilnet.scenes.layout import compose
from stencilnet.scenes.mood import Mood
from stencilnet.scenes.render import render
from stencilnet.scenes.sketch import Sketch

MIN_SIDE = 16
MAX_SIDE = 4096


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture and its labels."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB, 0-255."""
    labels: npt.NDArray[np.uint8]
    """(H, W), indices of `Fine`."""


def check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) for a side or a pair.

    Raises:
        TypeError: If it is neither an int nor a pair of ints.
        ValueError: If a side is outside 16..4096.
    """
    pair = (size, size) if isinstance(size, int) else size
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(type(side) is int for side in pair):
        raise TypeError(f"Expected argument `size` to be an int or a pair (height, width) of ints, but got {size!r}.")
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in pair):
        raise ValueError(
            f"Expected argument `size` to have sides from {MIN_SIDE} to {MAX_SIDE} pixels, but got {size!r}. "
            "Draw at a size within the range and resize the picture."
        )
    return pair


def draw_scene(seed: int, index: int, size: int | tuple[int, int]) -> Scene:
    """Draw scene number `index` of `seed`.

    A pure function of its arguments. The composition depends only on `seed`, `index` and the ratio of height to width,
    so that the same scene can be drawn at different sizes.

    Args:
        seed: Seed of the scenes, 0 or more.
        index: Number of the scene, 0 or more.
        size: Side, or (height, width), in pixels, each from 16 to 4096.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.
    """
    shape = check_size(size)
    sketch, mood = _composed(seed, index, shape)
    image, labels = render(sketch, mood, shape, [seed, index])
    return Scene(image=image, labels=labels)


def measure_scene(seed: int, index: int, size: int | tuple[int, int]) -> Geometry:
    """Return depth and normals of the scene that `draw_scene` draws for the same arguments; it raises the same errors.

    Args:
        seed: Seed of the scenes, 0 or more.
        index: Number of the scene, 0 or more.
        size: Side, or (height, width), in pixels, each from 16 to 4096.
    """
    shape = check_size(size)
    return survey(_composed(seed, index, shape)[0], shape)


def _composed(seed: int, index: int, shape: tuple[int, int]) -> tuple[Sketch, Mood]:
    for name, value in (("seed", seed), ("index", index)):
        if type(value) is not int:
            raise TypeError(f"Expected argument `{name}` to be an int, but got {value!r} ({type(value).__name__}).")
        if value < 0:
            raise ValueError(f"Expected argument `{name}` to be 0 or more, but got {value}.")
    height, width = shape
    unit = min(shape)
    return compose(Random(f"scene {seed} {index}"), width / unit, height / unit)
