"""Errors of fetching and unpacking data sets."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FetchError(ValueError):
    """A data set cannot be fetched or unpacked; the message says what failed, where, and the remedy."""


@contextmanager
def full_disk_named(place: Path, kept: str) -> Iterator[None]:
    """Convert the system's "no space left" or "file too large" to an error that says how to resume.

    Args:
        place: The path that is being written.
        kept: A sentence that says what is kept of the work so far.

    Raises:
        FetchError: If the disk or quota is full, or the file exceeds the file system's limit.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise FetchError(
            f"Expected free space to write {place}, but the system says: {error.strerror}. {kept} Free disk space (or "
            "choose a root folder on a larger disk) and run the same command again to resume."
        ) from error


def human_bytes(count: int) -> str:
    """Return a number of bytes in decimal units, as is usual for disks and downloads: ``19.3 GB``."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
