"""The embedded data set: procedural scenes with labels, depth and normals, and two style pictures; no files."""

from stencilnet.scenes.dataset import TRUTHS, Scenes
from stencilnet.scenes.drawing import Scene, draw_scene, measure_scene
from stencilnet.scenes.geometry import Geometry
from stencilnet.scenes.painting import STYLES, paint_style
from stencilnet.scenes.spaces import SPACES, Fine, LabelSpace

__all__ = [
    "SPACES",
    "STYLES",
    "TRUTHS",
    "Fine",
    "Geometry",
    "LabelSpace",
    "Scene",
    "Scenes",
    "draw_scene",
    "measure_scene",
    "paint_style",
]
