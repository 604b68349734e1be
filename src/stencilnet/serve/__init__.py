"""A bundle's tasks over HTTP (``docs/service.md``)."""

from stencilnet.serve.limits import Limits
from stencilnet.serve.server import serve

__all__ = ["Limits", "serve"]
