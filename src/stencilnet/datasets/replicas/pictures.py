"""Building blocks of the replicas: scenes in two formats, their connected parts, outlines, and JPEG bytes."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from stencilnet.scenes import Scene, draw_scene

Bits = npt.NDArray[np.bool_]
DrawnFiles = Iterator[tuple[str, bytes]]
"""Paths under the data root, and the content of these files."""

_FORMATS = ((128, 160), (160, 128))
_LEAST = 12


def photo(seed: int, number: int) -> Scene:
    """Draw a scene, 160x128 or 128x160 pixels."""
    return draw_scene(seed, number, _FORMATS[number % 3 == 2])


def jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return an RGB picture (H, W, 3) as JPEG."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=92)
    return buffer.getvalue()


def parts(marked: Bits) -> list[Bits]:
    """Return the connected parts (4-connectivity) of a region that have at least 12 pixels."""
    numbered, count = _ndimage().label(marked)
    return [part for part in (numbered == n for n in range(1, count + 1)) if part.sum() >= _LEAST]


def outlines(part: Bits) -> list[list[float]]:
    """Return the outer border of a connected region as polygons ``[x, y, x, y, ...]`` along the sides of its pixels.

    Holes are filled: smaller objects in them are drawn later, on top.
    """
    filled = np.pad(_ndimage().binary_fill_holes(part), 1).astype(bool)
    ahead: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for dy, dx, start, end in (
        (-1, 0, (0, 0), (1, 0)),
        (0, 1, (1, 0), (1, 1)),
        (1, 0, (1, 1), (0, 1)),
        (0, -1, (0, 1), (0, 0)),
    ):
        for y, x in np.argwhere(filled & ~np.roll(filled, (-dy, -dx), (0, 1))) - 1:
            ahead.setdefault((int(x) + start[0], int(y) + start[1]), []).append((int(x) + end[0], int(y) + end[1]))
    loops = []
    while ahead:
        loop = [next(iter(ahead))]
        while ahead.get(loop[-1]):
            loop.append(ahead[loop[-1]].pop())
        loops.append(_corners(loop[:-1]))
        ahead = {point: ends for point, ends in ahead.items() if ends}
    return [[float(value) for point in loop for value in point] for loop in loops]


def _corners(loop: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Remove the points of a closed loop at which it does not turn."""
    around = zip(loop[-1:] + loop[:-1], loop, loop[1:] + loop[:1], strict=True)
    return [here for back, here, on in around if not (back[0] == here[0] == on[0] or back[1] == here[1] == on[1])]


def run_lengths(covered: Bits) -> list[int]:
    """Return COCO's uncompressed run-length encoding: lengths of alternate runs outside and inside, by columns."""
    flat = covered.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def borders(label: npt.NDArray[np.uint8]) -> Bits:
    """Return which pixels have a neighbour of another class (8-connectivity)."""
    around = np.pad(label, 1, mode="edge")
    height, width = label.shape
    found = np.zeros(label.shape, bool)
    for y, x in np.ndindex(3, 3):
        found |= around[y : y + height, x : x + width] != label
    return found


def _ndimage() -> Any:
    try:
        import scipy.ndimage
    except ImportError as error:
        raise ValueError(
            "Making replicas of COCO needs SciPy, which is not installed. Run: pip install 'stencilnet[data]'"
        ) from error
    return scipy.ndimage
