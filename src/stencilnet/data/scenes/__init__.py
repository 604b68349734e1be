"""The embedded data set: procedural scenes with labels, and two painted style pictures. No files, no downloads."""

from stencilnet.data.scenes.dataset import Scenes
from stencilnet.data.scenes.drawing import Scene, draw_scene
from stencilnet.data.scenes.painting import STYLES, paint_style
from stencilnet.data.scenes.spaces import SPACES, Fine, LabelSpace

__all__ = ["SPACES", "STYLES", "Fine", "LabelSpace", "Scene", "Scenes", "draw_scene", "paint_style"]
