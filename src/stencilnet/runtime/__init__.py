"""Runs the tasks of a bundle on pictures."""

from stencilnet.runtime.engine import Engine
from stencilnet.runtime.forward import PRECISIONS
from stencilnet.runtime.memory import TooLargeError

__all__ = ["PRECISIONS", "Engine", "TooLargeError"]
