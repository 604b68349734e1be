"""What is trained: real masks, codes and weights over frozen ones; and what deltas do to PyTorch's tensors."""

from stencilnet.masks.applying import applied, task_weights, write_task
from stencilnet.masks.arrays import array_of, arrays_of, specs_of, tensor_of, tensors_of
from stencilnet.masks.binarize import INITIAL, THRESHOLD, binarize, select
from stencilnet.masks.coded import Codes
from stencilnet.masks.real import RealTask, between
from stencilnet.masks.starting import scores_by_weight, warm_scores
from stencilnet.masks.state import NetState, whole_weights
from stencilnet.masks.trainable import Free, Masks, Trainable, Weights

__all__ = [
    "INITIAL",
    "THRESHOLD",
    "Codes",
    "Free",
    "Masks",
    "NetState",
    "RealTask",
    "Trainable",
    "Weights",
    "applied",
    "array_of",
    "arrays_of",
    "between",
    "binarize",
    "scores_by_weight",
    "select",
    "specs_of",
    "task_weights",
    "tensor_of",
    "tensors_of",
    "warm_scores",
    "whole_weights",
    "write_task",
]
