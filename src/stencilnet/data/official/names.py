"""Class names, category ids and colours of the public data sets."""

from functools import cache

from stencilnet.kinds.segmentation import voc_colour

_COCO_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, "
    "sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining "
    "table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)
_COCO_GAPS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

COCO_CATEGORIES: dict[int, str] = dict(
    zip((n for n in range(1, 91) if n not in _COCO_GAPS), _COCO_NAMES.split(", "), strict=True)
)
"""Names of COCO's 80 object categories by their ids, which have gaps in 1-90 (Lin et al. 2014)."""

COCO_INDEX: dict[int, int] = {identity: index for index, identity in enumerate(sorted(COCO_CATEGORIES), start=1)}
"""Class index (1-80, in the order of the ids) of each COCO category id; 0 is the background."""

COCO_CLASSES: tuple[str, ...] = ("background", *(COCO_CATEGORIES[identity] for identity in COCO_INDEX))
"""The 81 classes of COCO's label maps, in order of their indices."""

VOC_CLASSES: tuple[str, ...] = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The 21 classes of VOC's label maps, in order of their indices (Everingham et al. 2010)."""


@cache
def voc_palette() -> tuple[int, ...]:
    """Return VOC's 256 colours as ``(r, g, b, r, g, b, ...)``; they only show a label map to people."""
    return tuple(level for index in range(256) for level in voc_colour(index))
