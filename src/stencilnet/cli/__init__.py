"""The command line: one verb a function, no logic; heavy imports inside the verbs."""

from stencilnet.cli.main import main

__all__ = ["main"]
