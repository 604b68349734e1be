"""Running the tasks of a bundle: pictures in, pictures out."""

from stencilnet.runtime.engine import Engine
from stencilnet.runtime.forward import PRECISIONS

__all__ = ["PRECISIONS", "Engine"]
