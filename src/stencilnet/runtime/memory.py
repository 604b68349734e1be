"""Memory that ran out: told from other failures, and turned into one clear error."""

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
"""What is in the text of errors for which PyTorch has no class of their own."""


class TooLargeError(ValueError):
    """Memory ran out: says for what, how much was asked for, and the remedy. What runs next is not touched by it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is that memory, of the device or of the machine, could not be had."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _PHRASES)


def within_memory(work: Callable[[], R], what: str, remedy: str = "Make the picture smaller.") -> R:
    """Return what a piece of work returns.

    Args:
        work: The work.
        what: What does not fit if memory runs out: the beginning of a sentence.
        remedy: What to do then: a sentence.

    Raises:
        TooLargeError: If memory runs out. It does not keep what the work held: that memory is free again.
    """
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        asked = re.search(r"tried to allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
    # Not in the handler: the new error would hold the old one, and so all tensors of the frames that it went through.
    found = f": {asked[1]} at once could not be had" if asked else ""
    raise TooLargeError(f"{what} does not fit in memory{found}. {remedy}")
