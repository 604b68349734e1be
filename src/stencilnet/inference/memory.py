"""Recognises PyTorch's out-of-memory errors, which are of many kinds, and makes Python's of them."""

from collections.abc import Callable
from typing import TypeVar

import torch

R = TypeVar("R")

_PHRASES = (
    "can't allocate memory",  # PyTorch's CPU allocator on Linux and macOS
    "cannot allocate memory",
    "not enough memory",  # the same on Windows
    "out of memory",  # MPS; CUDA outside PyTorch's own allocator
    "alloc_failed",  # cuBLAS and cuDNN: CUBLAS_STATUS_ALLOC_FAILED
    "bad_alloc",  # C++, by way of PyTorch
)
"""Phrases in the messages of out-of-memory errors for which PyTorch has no class."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory of the device or of the machine ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _PHRASES)


def as_memory_error(work: Callable[[], R]) -> R:
    """Return the result of a function of PyTorch.

    Raises:
        MemoryError: If memory of the device or of the machine runs out, with PyTorch's message. It holds no reference
            to the function's tensors, so their memory is free.
    """
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        message = str(error)
    raise MemoryError(message)  # not in the handler: it would refer to the error, and so to all tensors of its frames
