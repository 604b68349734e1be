"""Waiting for another process that does the same work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stencilnet.training.fit import Interrupted

_ASK = 0.2
"""Seconds between two checks for a stop request."""

_TELL = 10
"""Number of checks after which the wait is announced."""


@contextmanager
def alone(path: Path, stop: Callable[[], bool], announce: Callable[[str], None]) -> Iterator[None]:
    """Hold a file lock; the system releases the lock of a crashed process.

    Args:
        path: The lock file.
        stop: Called while waiting; return True to stop.
        announce: Called once with a message if the wait takes longer.

    Raises:
        Interrupted: If `stop` returns True.
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
                announce(f"waiting for another process that does the same work ({path})")
    try:
        yield
    finally:
        lock.release()
