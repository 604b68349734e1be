"""Tiny replicas of edges2handbags and of the two style paintings."""

import numpy as np

from stencilnet.data.official.layouts import PAINTINGS
from stencilnet.datasets.replicas.pictures import DrawnFiles, jpeg
from stencilnet.kinds.edges import find_edges
from stencilnet.scenes import STYLES, draw_scene, paint_style

COUNTS = {"train": 8, "val": 4}
"""Number of images in each folder of edges2handbags."""

_SEED = 138
_FIRST = {"train": 0, "val": 100}
_SIDE = 256
_PAINTING = 384
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def handbag_files() -> DrawnFiles:
    """Yield 512x256 pictures: on the left black edges on white, on the right the photo."""
    for split, count in COUNTS.items():
        for number in range(count):
            image = draw_scene(_SEED, _FIRST[split] + number, _SIDE).image
            gray = (image.astype(np.float32) / 255 * _LUMA).sum(2)
            edges = find_edges(gray, sigma=2, low=0.05, high=0.12)
            drawing = np.where(edges[..., None], 0, 255).astype(np.uint8).repeat(3, 2)
            yield f"edges2handbags/{split}/{number + 1}_AB.jpg", jpeg(np.concatenate([drawing, image], 1))


def style_files() -> DrawnFiles:
    """Yield the two paintings."""
    for name, style in zip(PAINTINGS, STYLES, strict=False):
        yield f"styles/{name}", jpeg(paint_style(style, _PAINTING))
