"""How much memory there is, and a lack of it as one clear error."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

R = TypeVar("R")

_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
_VERSION_2 = ("memory.max", "memory.current")
"""Files of a control group that hold its limit and its use."""


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


def available_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes this process can still allocate: of the machine, and of its control groups (containers).

    Args:
        root: Where ``proc`` and ``sys`` are.

    Returns:
        None if the system is not Linux, which says so in files.
    """
    free = [*_of_machine(root), *(limit - used for limit, used in _of_groups(root))]
    return max(0, min(free)) if free else None


def _of_machine(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_groups(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use of each control group that this process is in; caches of files do not count, as they yield.

    In a container, the group's path is often that of the host, and its files are at the top instead.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / "sys/fs/cgroup" / controllers
        names = _VERSION_1 if controllers else _VERSION_2
        group = top / path.lstrip("/")
        for place in dict.fromkeys([group, *group.parents, top]):
            if place.is_relative_to(top):
                yield from _limit_and_use(place, *names)


def _limit_and_use(group: Path, limit: str, use: str) -> Iterator[tuple[int, int]]:
    caps, uses = _lines(group / limit), _lines(group / use)
    if caps and uses and caps[0].isdigit():  # "max" is no limit
        stat = dict(line.split() for line in _lines(group / "memory.stat"))
        yield int(caps[0]), int(uses[0]) - int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
