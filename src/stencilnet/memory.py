"""Turns a lack of memory into one clear error."""

import re
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")


class TooLargeError(ValueError):
    """Out of memory; the message says for what, how much was requested, and the remedy. Later calls are unaffected."""


def within_memory(work: Callable[[], R], what: str, remedy: str = "Make the picture smaller.") -> R:
    """Return the result of a function, with a clear error if memory runs out.

    Args:
        work: The function.
        what: What does not fit in memory, as the subject of the error's sentence.
        remedy: What to do then, as a sentence.

    Raises:
        TooLargeError: If memory runs out (`MemoryError`). It holds no reference to the function's arrays, so their
            memory is free.
    """
    try:
        return work()
    except MemoryError as error:
        asked = re.search(r"(?:tried|unable) to allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
    # Not in the handler: the new error would refer to the old one, and so to all arrays of its frames.
    found = f": {asked[1]} at once could not be allocated" if asked else ""
    raise TooLargeError(f"{what} does not fit in memory{found}. {remedy}")
