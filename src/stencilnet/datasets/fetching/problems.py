"""What can go wrong on the way from a server to a folder, in words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FetchError(ValueError):
    """A data set that cannot be fetched or unpacked; says what, where, and how to go on."""


@contextmanager
def full_disk_named(place: Path, kept: str) -> Iterator[None]:
    """Turn the system's "no space left" (or "file too large") into an error that says how to go on.

    Args:
        place: What is being written.
        kept: What is kept of the work so far, as a sentence.

    Raises:
        FetchError: If the disk, the quota or the file system's largest file is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise FetchError(
            f"Expected room to write {place}, but the system says: {error.strerror}. {kept} Make room (or give a root "
            "folder on a larger disk) and give the same command again: it goes on from there."
        ) from error


def human_bytes(count: int) -> str:
    """Return a number of bytes in decimal units, as disks and downloads are labelled: ``19.3 GB``."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
