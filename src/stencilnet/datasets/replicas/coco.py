"""A tiny replica of MS COCO: photos, and instances JSON with polygons and run-length encoded crowds."""

from typing import Any

import numpy as np

from stencilnet.data.official import COCO_CATEGORIES
from stencilnet.datasets.replicas.pictures import Bits, DrawnFiles, jpeg, outlines, parts, photo, run_lengths
from stencilnet.scenes import Fine, Scene
from stencilnet.text.strict_json import dumps

COUNTS = {"train": 10, "val": 5}
"""Number of images of each split."""

CATEGORY = {
    Fine.PERSON: 1,
    Fine.CAR: 3,
    Fine.BOAT: 9,
    Fine.FENCE: 15,
    Fine.ANIMAL: 18,
    Fine.PARASOL: 28,
    Fine.BALLOON: 38,
    Fine.TREE: 64,
    Fine.HOUSE: 85,
    Fine.BUSH: 86,
}
"""COCO's category id for classes of the scenes; other classes are background."""

_BARE = 1
_CROWDED = 3
_SEEDS = {"2017": 2017, "2014": 2014}
_FIRST = {"train": 0, "val": 100}


def coco_files(year: str) -> DrawnFiles:
    """Yield the files of both splits; image 1 of each has no annotations, image 3 has a crowd."""
    for split, count in COUNTS.items():
        images, annotations = [], []
        for number in range(count):
            scene = photo(_SEEDS[year], _FIRST[split] + number)
            identity = 9 + 16 * (_FIRST[split] + number) + number * number
            name = f"{identity:012d}.jpg" if year == "2017" else f"COCO_{split}2014_{identity:012d}.jpg"
            yield f"coco/{split}{year}/{name}", jpeg(scene.image)
            images.append(_image(identity, name, scene))
            if number != _BARE:
                annotations += _annotations(scene, identity, crowded=number == _CROWDED)
        # unordered ids with gaps, which COCO allows
        content = {
            "info": {"description": f"A tiny replica of COCO {year}", "version": "1.0", "year": int(year)},
            "licenses": [{"id": 1, "name": "none", "url": ""}],
            "images": images[::-1],
            "annotations": [{**found, "id": 7 + 3 * place} for place, found in enumerate(annotations)],
            "categories": [
                {"supercategory": "object", "id": identity, "name": name} for identity, name in COCO_CATEGORIES.items()
            ],
        }
        yield f"coco/annotations/instances_{split}{year}.json", dumps(content).encode()


def _image(identity: int, name: str, scene: Scene) -> dict[str, Any]:
    height, width = scene.labels.shape
    return {
        "license": 1,
        "file_name": name,
        "coco_url": "",
        "height": height,
        "width": width,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": "",
        "id": identity,
    }


def _annotations(scene: Scene, image: int, crowded: bool) -> list[dict[str, Any]]:
    """Return the annotations of a scene's objects; if crowded, the class that covers most pixels is one crowd."""
    regions = {kind: scene.labels == kind for kind in CATEGORY}
    most = max(regions, key=lambda kind: int(regions[kind].sum()))
    found = []
    for kind, region in regions.items():
        if crowded and kind == most:
            code = {"counts": run_lengths(region), "size": list(region.shape)}
            found.append(_annotation(image, kind, region, code, crowd=1))
        else:
            found += [_annotation(image, kind, part, outlines(part), crowd=0) for part in parts(region)]
    return found


def _annotation(image: int, kind: Fine, region: Bits, shape: Any, crowd: int) -> dict[str, Any]:
    ys, xs = np.nonzero(region)
    left, top = int(xs.min()), int(ys.min())
    return {
        "segmentation": shape,
        "area": float(region.sum()),
        "iscrowd": crowd,
        "image_id": image,
        "bbox": [left, top, int(xs.max()) + 1 - left, int(ys.max()) + 1 - top],
        "category_id": CATEGORY[kind],
    }
