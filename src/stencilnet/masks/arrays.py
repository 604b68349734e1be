"""Where values cross between NumPy, in which deltas and bundles are kept, and PyTorch, which learns and runs."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from stencilnet.delta import Spec
from stencilnet.delta.spec import Array, dtype_named, is_foreign

_INTEGERS = {1: torch.uint8, 2: torch.uint16}
"""Integers as wide as a float that NumPy lacks, by bytes."""


def tensor_of(array: Array) -> Tensor:
    """Return an array as a tensor on the CPU, over the same memory."""
    if not is_foreign(array.dtype.name):
        return torch.from_numpy(array)
    wanted: torch.dtype = getattr(torch, array.dtype.name)
    return torch.from_numpy(array.view(f"u{array.itemsize}")).view(wanted)


def array_of(tensor: Tensor) -> Array:
    """Return a tensor as an array: over the same memory if it is on the CPU, else a copy. It carries no gradient."""
    plain, name = tensor.detach().cpu(), dtype_name(tensor.dtype)
    if not is_foreign(name):
        return np.asarray(plain)
    integers: Array = plain.view(_INTEGERS[plain.element_size()]).numpy()
    return integers.view(dtype_named(name))


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name that NumPy and PyTorch share, such as ``float32``."""
    return str(dtype).removeprefix("torch.")


def specs_of(tensors: Mapping[str, Tensor]) -> dict[str, Spec]:
    """Return the specs of tensors by name."""
    return {name: Spec(dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in tensors.items()}


def tensors_of(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """Do `tensor_of` for arrays by name."""
    return {name: tensor_of(array) for name, array in arrays.items()}


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Do `array_of` for tensors by name."""
    return {name: array_of(tensor) for name, tensor in tensors.items()}
