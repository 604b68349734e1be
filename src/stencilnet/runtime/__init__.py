"""Running the tasks of a bundle: pictures in, pictures out."""

from stencilnet.runtime.engine import PRECISIONS, Engine

__all__ = ["PRECISIONS", "Engine"]
