"""Runs the tasks of a bundle on pictures."""

from stencilnet.memory import TooLargeError
from stencilnet.runtime.backends import BACKENDS, PRECISIONS
from stencilnet.runtime.engine import Engine

__all__ = ["BACKENDS", "PRECISIONS", "Engine", "TooLargeError"]
