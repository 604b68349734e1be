"""Recognises out-of-memory errors and turns them into one clear error."""

import re
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


class TooLargeError(ValueError):
    """Out of memory; the message says for what, how much was requested, and the remedy. Later calls are unaffected."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory of the device or of the machine ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _PHRASES)


def within_memory(work: Callable[[], R], what: str, remedy: str = "Make the picture smaller.") -> R:
    """Return the result of a function, with a clear error if memory runs out.

    Args:
        work: The function.
        what: What does not fit in memory, as the subject of the error's sentence.
        remedy: What to do then, as a sentence.

    Raises:
        TooLargeError: If memory runs out. It holds no reference to the function's tensors, so their memory is free.
    """
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        asked = re.search(r"tried to allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
    # Not in the handler: the new error would refer to the old one, and so to all tensors of its frames.
    found = f": {asked[1]} at once could not be allocated" if asked else ""
    raise TooLargeError(f"{what} does not fit in memory{found}. {remedy}")
