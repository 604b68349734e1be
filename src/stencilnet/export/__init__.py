"""Tasks as ONNX files for other programs, written without PyTorch."""

from stencilnet.export.adapters import export_adapters
from stencilnet.export.single import export_task

__all__ = ["export_adapters", "export_task"]
