"""One network, many image-to-image tasks: each new task costs a bit per weight or less and never changes the old ones.

Names are loaded at first use, so that importing the package loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stencilnet.bundle import BundleError, sample
    from stencilnet.data.transforms import View
    from stencilnet.delta import BitMask, DeltaError
    from stencilnet.learning.learn import Learning, learn
    from stencilnet.learning.opening import Splits
    from stencilnet.methods import (
        EWC,
        Decoder,
        Finetune,
        HeadOnly,
        Joint,
        NormOnly,
        PackNet,
        Piggyback,
        Progressive,
        QuantizedDelta,
        Rehearsal,
        Scratch,
    )
    from stencilnet.models import VGG16, MultiTaskNet, UNet, load, save
    from stencilnet.runtime import Engine
    from stencilnet.tasks.classification import Classification
    from stencilnet.tasks.colorization import Colorization
    from stencilnet.tasks.depth import Depth
    from stencilnet.tasks.edges2photo import Edges2Photo
    from stencilnet.tasks.normals import Normals
    from stencilnet.tasks.restoration import Restoration
    from stencilnet.tasks.segmentation import Segmentation
    from stencilnet.tasks.style import StyleTransfer
    from stencilnet.tasks.task import Example, Recipe
    from stencilnet.training.settings import Settings

_HOMES = {
    "BitMask": "delta",
    "BundleError": "bundle",
    "Classification": "tasks.classification",
    "Colorization": "tasks.colorization",
    "Decoder": "methods",
    "EWC": "methods",
    "DeltaError": "delta",
    "Depth": "tasks.depth",
    "Edges2Photo": "tasks.edges2photo",
    "Engine": "runtime",
    "Example": "tasks.task",
    "Finetune": "methods",
    "HeadOnly": "methods",
    "Joint": "methods",
    "Learning": "learning.learn",
    "MultiTaskNet": "models",
    "NormOnly": "methods",
    "Normals": "tasks.normals",
    "PackNet": "methods",
    "Piggyback": "methods",
    "Recipe": "tasks.task",
    "Progressive": "methods",
    "QuantizedDelta": "methods",
    "Rehearsal": "methods",
    "Restoration": "tasks.restoration",
    "Scratch": "methods",
    "Segmentation": "tasks.segmentation",
    "Settings": "training.settings",
    "Splits": "learning.opening",
    "StyleTransfer": "tasks.style",
    "UNet": "models",
    "VGG16": "models",
    "View": "data.transforms",
    "learn": "learning.learn",
    "load": "models",
    "sample": "bundle",
    "save": "models",
}

__all__ = [
    "EWC",
    "VGG16",
    "BitMask",
    "BundleError",
    "Classification",
    "Colorization",
    "Decoder",
    "DeltaError",
    "Depth",
    "Edges2Photo",
    "Engine",
    "Example",
    "Finetune",
    "HeadOnly",
    "Joint",
    "Learning",
    "MultiTaskNet",
    "NormOnly",
    "Normals",
    "PackNet",
    "Piggyback",
    "Progressive",
    "QuantizedDelta",
    "Recipe",
    "Rehearsal",
    "Restoration",
    "Scratch",
    "Segmentation",
    "Settings",
    "Splits",
    "StyleTransfer",
    "UNet",
    "View",
    "learn",
    "load",
    "sample",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stencilnet' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"stencilnet.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        from stencilnet.errors import explained

        raise explained(error, f"stencilnet.{name}") from None


def __dir__() -> list[str]:
    return __all__
