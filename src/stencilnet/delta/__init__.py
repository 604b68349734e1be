"""The one idea as values: a task is a delta over frozen weights, bits where it selects, tensors where it replaces.

Everything here works on NumPy arrays; `stencilnet.masks.applying` does the same to PyTorch's tensors.
"""

from stencilnet.delta.affine import Affine
from stencilnet.delta.columns import backbone_key, column_key, lateral_key, lateral_of, split_columns
from stencilnet.delta.delta import DeltaError, TaskDelta
from stencilnet.delta.entries import Entry, Replace, Select
from stencilnet.delta.growing import grown
from stencilnet.delta.packing import BitMask
from stencilnet.delta.quantized import Quantized
from stencilnet.delta.rounding import Stored
from stencilnet.delta.seeded import Seed, Seeded
from stencilnet.delta.sign import Sign
from stencilnet.delta.spec import Spec
from stencilnet.delta.ternary import Ternary
from stencilnet.delta.weight_codes import WeightCodes

__all__ = [
    "Affine",
    "BitMask",
    "DeltaError",
    "Entry",
    "Quantized",
    "Replace",
    "Seed",
    "Seeded",
    "Select",
    "Sign",
    "Spec",
    "Stored",
    "TaskDelta",
    "Ternary",
    "WeightCodes",
    "backbone_key",
    "column_key",
    "grown",
    "lateral_key",
    "lateral_of",
    "split_columns",
]
