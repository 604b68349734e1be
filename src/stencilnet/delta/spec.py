"""What an array is without its values; and dtypes by the names that NumPy and PyTorch share."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""Weights or other numbers of a state dict, of any dtype and shape."""


@dataclass(frozen=True)
class Spec:
    """The dtype and the shape of a weight.

    Attributes:
        dtype: Name of the dtype, as NumPy and PyTorch both write it (``float32``, ``bfloat16``, ...).
        shape: The shape.
    """

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} of shape {self.shape}"

    @classmethod
    def of(cls, array: Array) -> "Spec":
        """Return the spec of an array."""
        return cls(array.dtype.name, array.shape)


def dtype_named(name: str) -> np.dtype[Any]:
    """Return a dtype by its name; bfloat16 and the 8-bit floats need the package ml_dtypes, which is imported for them.

    Raises:
        TypeError: If there is no such dtype.
        ModuleNotFoundError: If the dtype needs ml_dtypes, which is not installed.
    """
    if not is_foreign(name):
        return np.dtype(name)
    import ml_dtypes

    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return found


def is_foreign(name: str) -> bool:
    """Return whether NumPy lacks a dtype of PyTorch's, so that ml_dtypes brings it: bfloat16 and the 8-bit floats."""
    return name == "bfloat16" or name.startswith("float8_")
