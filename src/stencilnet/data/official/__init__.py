"""The public data sets of the paper in their official layouts."""

from stencilnet.data.official.coco import CocoSource
from stencilnet.data.official.files import ProgressCallback, is_replica
from stencilnet.data.official.layouts import LAYOUTS, SetLayout
from stencilnet.data.official.names import COCO_CATEGORIES, COCO_CLASSES, COCO_INDEX, VOC_CLASSES, voc_palette
from stencilnet.data.official.rasterize import paint, rasterize
from stencilnet.data.official.train_aug import build_train_aug
from stencilnet.data.official.voc import VocSource

__all__ = [
    "COCO_CATEGORIES",
    "COCO_CLASSES",
    "COCO_INDEX",
    "LAYOUTS",
    "VOC_CLASSES",
    "CocoSource",
    "ProgressCallback",
    "SetLayout",
    "VocSource",
    "build_train_aug",
    "is_replica",
    "paint",
    "rasterize",
    "voc_palette",
]
