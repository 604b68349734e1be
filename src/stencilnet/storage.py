"""Files and folders written whole: a reader finds the old content or the new, and so does a machine that crashed.

New content grows under a hidden name in the same folder and is renamed onto its place. A link there is replaced, not
followed; permissions are those of any new file (the umask's). With `sync` it reaches the disk before the rename and
the rename reaches it after: a power cut takes nothing back. Without, a power cut may leave less than was written: for
files that are many and cheap to make again.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

NEW = ".new-"
"""Prefix of what is being written: a crash may leave it, and nothing reads it."""
GONE = ".gone-"
"""Prefix of what is being removed: a crash may leave it, and nothing reads it."""


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its place at the end of the block; after an exception nothing has changed.

    Args:
        path: The file's place, in a folder that exists.
        sync: Whether it has to outlast a power cut right after.

    Yields:
        The open file, whose name has the suffix of `path`.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_name(f"{NEW}{secrets.token_hex(8)}{path.suffix}")
    try:
        with temporary.open("x+b") as file:  # readable, since Pillow reads back what it has written of a TIFF
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def write_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write bytes as a whole file; arguments and errors are those of `replacing`."""
    with replacing(path, sync=sync) as file:
        file.write(data)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Write text as a whole file in UTF-8; what UTF-8 cannot hold (bytes of a file name) is written as an escape."""
    write_file(path, text.encode("utf-8", "backslashreplace"), sync=sync)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a folder with files in place all at once.

    Args:
        folder: Its place, where there is nothing yet, or an empty folder.
        files: Contents by path inside the folder, ``/`` between its parts.

    Raises:
        OSError: Of `errno.EEXIST` or `errno.ENOTEMPTY` if the place is taken.
    """
    temporary = folder.parent / f"{NEW}{folder.name}-{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
        for name, data in files.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            _write_through(temporary / name, data)
        for written in (temporary, *temporary.rglob("*/")):
            sync_folder(written)
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def remove_folder(folder: Path) -> None:
    """Take a folder out all at once (by its name), then delete it."""
    gone = folder.parent / f"{GONE}{folder.name}-{secrets.token_hex(8)}"
    os.rename(folder, gone)
    sync_folder(folder.parent)
    shutil.rmtree(gone)


def discard_unfinished(folder: Path) -> None:
    """Delete files that a crash left unfinished in a folder, which nobody else may be writing to."""
    for path in folder.glob(f"{NEW}*"):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Make the folder's names last through a crash; not every system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_through(file: Path, data: bytes) -> None:
    with file.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
