"""The embedded data set: procedural scenes with labels, depth and normals, and two style pictures; no files."""

from typing import TYPE_CHECKING, Any

from stencilnet.scenes.drawing import Scene, draw_scene, measure_scene
from stencilnet.scenes.geometry import Geometry
from stencilnet.scenes.painting import STYLES, paint_style
from stencilnet.scenes.spaces import SPACES, Fine, LabelSpace

if TYPE_CHECKING:
    from stencilnet.scenes.dataset import TRUTHS, Scenes

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


def __getattr__(name: str) -> Any:
    """Import the data set at its first use: it needs PyTorch, and drawing a scene does not."""
    if name not in ("TRUTHS", "Scenes"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stencilnet.scenes import dataset

    return getattr(dataset, name)
