"""The one idea: a task is a delta over frozen weights, bits where it selects, tensors where it replaces."""

from stencilnet.masks.affine import Affine, Affines
from stencilnet.masks.binarize import INITIAL, THRESHOLD, binarize, select
from stencilnet.masks.columns import backbone_key, column_key, lateral_key, lateral_of, split_columns
from stencilnet.masks.delta import DeltaError, TaskDelta
from stencilnet.masks.entries import Entry, Replace, Select
from stencilnet.masks.forms import Binary, Form
from stencilnet.masks.growing import grown
from stencilnet.masks.packing import BitMask
from stencilnet.masks.real import RealTask, between
from stencilnet.masks.scaling import Scaling, scaled
from stencilnet.masks.sign import Sign, Signs, starting_signs
from stencilnet.masks.starting import Start, starting_scores, warmed
from stencilnet.masks.state import NetState, whole_weights
from stencilnet.masks.ternary import Ternaries, Ternary
from stencilnet.masks.trainable import Free, Masks, Trainable, Weights

__all__ = [
    "INITIAL",
    "THRESHOLD",
    "Affine",
    "Affines",
    "Binary",
    "BitMask",
    "DeltaError",
    "Entry",
    "Form",
    "Free",
    "Masks",
    "NetState",
    "RealTask",
    "Replace",
    "Scaling",
    "Select",
    "Sign",
    "Signs",
    "Start",
    "TaskDelta",
    "Ternaries",
    "Ternary",
    "Trainable",
    "Weights",
    "backbone_key",
    "between",
    "binarize",
    "column_key",
    "grown",
    "lateral_key",
    "lateral_of",
    "scaled",
    "select",
    "split_columns",
    "starting_scores",
    "starting_signs",
    "warmed",
    "whole_weights",
]
