"""Writes files and folders atomically: a reader finds either the old content or the new, also after a crash.

New content is written under a hidden name in the same folder and then renamed to its final name. A link there is
replaced, not followed; permissions are those of any new file (from the umask). With `sync`, the content is flushed to
disk before the rename and the rename after it, so that it survives a power cut. Without `sync`, a power cut may leave
less than was written; this is for many files that are cheap to make again.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

NEW = ".new-"
"""Prefix of names that are being written: a crash may leave them, and nothing reads them."""
GONE = ".gone-"
"""Prefix of names that are being removed: a crash may leave them, and nothing reads them."""


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` at the end of the block; an exception leaves `path` unchanged.

    Args:
        path: The file to write, in a folder that exists.
        sync: Whether the content must survive a power cut right after; True by default.

    Yields:
        The open temporary file, whose name has the suffix of `path`.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_name(f"{NEW}{secrets.token_hex(8)}{path.suffix}")
    try:
        with naming(path):
            with temporary.open("x+b") as file:  # readable, since Pillow reads back parts of a TIFF
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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give a file's name to an error of the block that lacks one, as on a full disk, or that has a hidden name."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and _is_unnamed(error):
            error.filename, error.filename2 = str(path), None
        raise


def _is_unnamed(error: OSError) -> bool:
    names = (error.filename, error.filename2)
    return error.filename is None or any(Path(os.fsdecode(name)).name.startswith((NEW, GONE)) for name in names if name)


def write_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write bytes as a file, atomically; arguments and errors are those of `replacing`."""
    with replacing(path, sync=sync) as file:
        file.write(data)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Write text as a UTF-8 file, atomically; characters that UTF-8 lacks (bytes of a file name) are escaped."""
    write_file(path, text.encode("utf-8", "backslashreplace"), sync=sync)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Create a folder with files, atomically.

    Args:
        folder: The folder, which does not exist or is empty.
        files: Contents by path inside the folder, with ``/`` between its parts.

    Raises:
        OSError: With `errno.EEXIST` or `errno.ENOTEMPTY` if the path is taken.
    """
    with creating(folder) as temporary:
        for name, data in files.items():
            write_through(temporary / name, data)


@contextmanager
def creating(folder: Path) -> Iterator[Path]:
    """Create a folder under a temporary name and rename it at the end of the block; an exception deletes it instead.

    Args:
        folder: The folder, which does not exist or is empty; its parent exists.

    Yields:
        The temporary folder. Its files are written by `write_through`.

    Raises:
        OSError: With `errno.EEXIST` or `errno.ENOTEMPTY` if the path is taken.
    """
    temporary = folder.parent / f"{NEW}{folder.name}-{secrets.token_hex(8)}"
    with naming(folder):
        temporary.mkdir()
    try:
        yield temporary
        for written in (temporary, *temporary.rglob("*/")):
            sync_folder(written)
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def write_through(file: Path, data: bytes) -> None:
    """Write a file that does not exist, and the folders that it lies in, and flush its content to disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with naming(file), file.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def remove_folder(folder: Path) -> None:
    """Remove a folder, atomically: rename it, then delete it."""
    gone = folder.parent / f"{GONE}{folder.name}-{secrets.token_hex(8)}"
    with naming(folder):
        os.rename(folder, gone)
    sync_folder(folder.parent)
    shutil.rmtree(gone)


def check_writable(folder: Path) -> None:
    """Check that files can be written to a folder, by writing one and deleting it.

    Raises:
        OSError: If not, such as on a read-only file system or a full disk.
    """
    probe = folder / f"{NEW}{secrets.token_hex(8)}"
    with naming(folder), probe.open("xb") as file:
        try:
            file.write(b"0")
            file.flush()
        finally:
            probe.unlink()


def discard_unfinished(folder: Path) -> None:
    """Delete unfinished files that a crash left in a folder; no other process may be writing to it."""
    for path in folder.glob(f"{NEW}*"):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to disk, so that they survive a crash; only POSIX systems support this."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
