"""Tiny replicas of CamVid, BSDS500 and class folders, in the layouts of the shipped configs `photos` and `figure14`."""

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from stencilnet.datasets.replicas.pictures import DrawnFiles, borders, jpeg, photo
from stencilnet.scenes import Fine, draw_scene, paint_style

CLASS_SETS = ("cubs", "cars", "flowers", "wikiart", "sketches")
"""The data sets of Mallya et al. 2018, each a folder of class folders."""

_CAMVID = {
    Fine.SKY: 0,
    Fine.HOUSE: 1,
    Fine.PARASOL: 2,
    Fine.ROAD: 3,
    Fine.SAND: 4,
    Fine.TREE: 5,
    Fine.BUSH: 5,
    Fine.BALLOON: 6,
    Fine.FENCE: 7,
    Fine.CAR: 8,
    Fine.PERSON: 9,
    Fine.ANIMAL: 10,
}
"""CamVid's class index for classes of the scenes; other classes are void."""
_CAMVID_VOID = 11
_SEQUENCES = {"train": ("0001TP", "0016E5"), "val": ("0016E5",)}
_FRAMES = 5
_BSDS = {"train": 8, "val": 4}
_CLASSES = ("swirls", "bands")
_CLASS_SIDE = 64
_IMAGES = {"train": 6, "test": 3}


def camvid_files() -> DrawnFiles:
    """Yield 240x180 photos and label maps (indices 0-10, 11 for void) of two sequences."""
    table = np.full(len(Fine), _CAMVID_VOID, np.uint8)
    for kind, index in _CAMVID.items():
        table[kind] = index
    for split, sequences in _SEQUENCES.items():
        for place, sequence in enumerate(sequences):
            for frame in range(_FRAMES):
                number = 100 * (split == "val") + 10 * place + frame
                scene = draw_scene(500, number, (180, 240))
                name = f"{sequence}_{30 * number + 390:05d}"
                yield f"camvid/{split}/images/{name}.jpg", jpeg(scene.image)
                yield f"camvid/{split}/labels/{name}.png", _png(table[scene.labels])


def bsds_files() -> DrawnFiles:
    """Yield photos, and gray maps of the share of annotators who marked a boundary."""
    for split, count in _BSDS.items():
        for number in range(count):
            scene = photo(300, number + 100 * (split == "val"))
            yield f"bsds500/{split}/images/{1000 + number}.jpg", jpeg(scene.image)
            yield f"bsds500/{split}/boundaries/{1000 + number}.png", _png(borders(scene.labels).astype(np.uint8) * 204)


def class_files() -> DrawnFiles:
    """Yield class folders of two classes that differ in texture."""
    textures = {label: paint_style(label, _CLASS_SIDE).astype(np.float32) for label in _CLASSES}
    for seed, name in enumerate(CLASS_SETS):
        for split, count in _IMAGES.items():
            for number in range(count):
                scene = draw_scene(700 + seed, number + 100 * (split == "test"), _CLASS_SIDE).image
                for label, texture in textures.items():
                    mixed = (0.5 * texture + 0.5 * scene).round().astype(np.uint8)
                    yield f"{name}/{split}/{label}/{number:03d}.jpg", jpeg(mixed)


def _png(values: npt.NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()
