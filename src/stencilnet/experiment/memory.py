"""Reads and writes a method's memory: tensors for training later tasks, stored beside bundles and never in them."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from stencilnet.bundle.tensors import encode_tensors
from stencilnet.experiment.folder import RunError
from stencilnet.masks import arrays_of
from stencilnet.storage import write_file


def write_memory(path: Path, memory: Mapping[str, Tensor]) -> None:
    """Write a state's memory atomically, and create the folder; do nothing if the memory is empty."""
    if memory:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, encode_tensors(arrays_of(memory)))


def read_memory(path: Path) -> dict[str, Tensor]:
    """Return a state's memory; empty if the file does not exist.

    Raises:
        RunError: If the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        return safetensors.torch.load(path.read_bytes())
    except (SafetensorError, KeyError) as error:  # KeyError: a number format that PyTorch lacks
        raise RunError(
            f"{path} is damaged ({error}). Delete its folder and those of the method's later tasks; they are then "
            "learned again."
        ) from error
