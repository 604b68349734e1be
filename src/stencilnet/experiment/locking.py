"""Waiting for another process that is at the same work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stencilnet.training.fit import Interrupted

_ASK = 0.2
"""Seconds between two looks at the wish to stop."""

_TELL = 10
"""Looks after which a wait is worth a line."""


@contextmanager
def alone(path: Path, stop: Callable[[], bool], announce: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock; the system frees that of a process that crashed.

    Args:
        path: The lock's file.
        stop: Asked while waiting; true ends it.
        announce: Told once if the wait is more than a moment.

    Raises:
        Interrupted: If `stop` says so.
    """
    lock = FileLock(path)
    looks = 0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_ASK, poll_interval=_ASK / 4)
        except Timeout:
            if stop():
                raise Interrupted("Stopped while waiting for another process.", step=0, path=path) from None
            looks += 1
            if looks == _TELL:
                announce(f"waiting for another process that is at the same work ({path})")
    try:
        yield
    finally:
        lock.release()
