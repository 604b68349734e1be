"""The one idea: a task is a delta over frozen weights, bits where it selects, tensors where it replaces."""

from stencilnet.masks.binarize import INITIAL, THRESHOLD, binarize, select
from stencilnet.masks.delta import DeltaError, TaskDelta
from stencilnet.masks.entries import Entry, Replace, Select
from stencilnet.masks.growing import grown
from stencilnet.masks.packing import BitMask
from stencilnet.masks.state import NetState
from stencilnet.masks.trainable import Free, Masks, Trainable, Weights

__all__ = [
    "INITIAL",
    "THRESHOLD",
    "BitMask",
    "DeltaError",
    "Entry",
    "Free",
    "Masks",
    "NetState",
    "Replace",
    "Select",
    "TaskDelta",
    "Trainable",
    "Weights",
    "binarize",
    "grown",
    "select",
]
