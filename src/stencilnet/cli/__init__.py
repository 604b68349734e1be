"""The command line: one function per verb, without logic; heavy imports are inside the verbs."""

from stencilnet.cli.main import main

__all__ = ["main"]
