"""How much memory there is, and a lack of it as one clear error."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from stencilnet.control_groups import group_folders, text_of

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


def available_memory(root: Path = Path("/")) -> int:
    """Return how many bytes this process can still allocate: of the machine, and of its control groups (containers).

    Args:
        root: Where ``proc`` and ``sys`` are, in which Linux describes control groups.
    """
    import psutil  # takes longer than a small picture's network

    machine: int = psutil.virtual_memory().available
    return max(0, min([machine, *(left for group in group_folders("memory", root) for left in _left_in(group))]))


def _left_in(group: Path) -> Iterator[int]:
    """Yield the bytes that a control group's limit leaves, if it has one; caches of files do not count, as they yield.

    Both versions' files are tried.
    """
    stat = dict(line.split() for line in text_of(group / "memory.stat").splitlines())
    for limit, use in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        most, used = text_of(group / limit), text_of(group / use)
        if most.isdecimal() and used.isdecimal():  # "max" is no limit
            yield int(most) - int(used) + int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
