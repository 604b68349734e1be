"""The one idea: a task is a delta over frozen weights, bits where it selects, tensors where it replaces."""

from stencilnet.masks.affine import Affine
from stencilnet.masks.binarize import INITIAL, THRESHOLD, binarize, select
from stencilnet.masks.coded import Codes
from stencilnet.masks.columns import backbone_key, column_key, lateral_key, lateral_of, split_columns
from stencilnet.masks.delta import DeltaError, TaskDelta
from stencilnet.masks.entries import Entry, Replace, Select
from stencilnet.masks.growing import grown
from stencilnet.masks.packing import BitMask
from stencilnet.masks.quantized import Quantized
from stencilnet.masks.real import RealTask, between
from stencilnet.masks.rounding import Stored
from stencilnet.masks.seeded import Seed, Seeded
from stencilnet.masks.sign import Sign
from stencilnet.masks.starting import scores_by_weight, warm_scores
from stencilnet.masks.state import NetState, whole_weights
from stencilnet.masks.ternary import Ternary
from stencilnet.masks.trainable import Free, Masks, Trainable, Weights
from stencilnet.masks.weight_codes import WeightCodes

__all__ = [
    "INITIAL",
    "THRESHOLD",
    "Affine",
    "BitMask",
    "Codes",
    "DeltaError",
    "Entry",
    "Free",
    "Masks",
    "NetState",
    "Quantized",
    "RealTask",
    "Replace",
    "Seed",
    "Seeded",
    "Select",
    "Sign",
    "Stored",
    "TaskDelta",
    "Ternary",
    "Trainable",
    "WeightCodes",
    "Weights",
    "backbone_key",
    "between",
    "binarize",
    "column_key",
    "grown",
    "lateral_key",
    "lateral_of",
    "scores_by_weight",
    "select",
    "split_columns",
    "warm_scores",
    "whole_weights",
]
