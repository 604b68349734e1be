"""Reading inside a bundle's folder, and writing that a crash at any point leaves whole."""

import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from stencilnet.bundle.format import GONE, NEW, BundleError, MissingError, restore


def read_file(root: Path, file: Path, limit: int | None = None) -> bytes:
    """Return the content of a regular file of the bundle.

    Raises:
        MissingError: If it is not there.
        BundleError: If a link leads out of the bundle, it is not a regular file, or it is larger than `limit` bytes.
    """
    inside(root, file)
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if limit is not None and size > limit:
                raise BundleError(file, "too large", f"at most {limit} bytes", f"{size} bytes", restore(file))
            return stream.read()
    except FileNotFoundError as error:
        raise missing(file) from error


def peek(file: str, limit: int) -> bytes:
    """Return the content of a regular file, nothing if it is none or larger; in a third of the time of `read_file`.

    Links are not told apart, so this is for what is only counted with, not for what is used.
    """
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return b""
    try:
        status = os.fstat(handle)
        fits = stat.S_ISREG(status.st_mode) and status.st_size <= limit
        return os.read(handle, status.st_size) if fits else b""
    finally:
        os.close(handle)


def inside(root: Path, file: Path) -> None:
    """Refuse a path that leads out of the bundle or to something other than a regular file.

    Raises:
        MissingError: If it is not there.
        BundleError: As above.
    """
    if _plain(root, file):
        return
    try:
        real = file.resolve()
    except RuntimeError as error:
        got = "links that lead in a circle"
        raise BundleError(file, "a broken link", "a file", got, "Replace the link by a copy of the file.") from error
    if not real.is_relative_to(root.resolve()):
        raise BundleError(
            file,
            "a link out of the bundle",
            f"a file inside {root}",
            f"a link to {real}",
            "Replace the link by a copy of the file.",
        )
    if not real.exists():
        raise missing(file)
    if not real.is_file():
        raise BundleError(file, "not a file", "a regular file", "something else", restore(file))


def _plain(root: Path, file: Path) -> bool:
    """Whether a regular file is reached from the root without a link: nearly always, and told in no time."""
    below, step, mode = file.parts[len(root.parts) :], str(root), 0
    for part in below:
        step = os.path.join(step, part)
        try:
            mode = os.lstat(step).st_mode
        except OSError:
            return False
        if stat.S_ISLNK(mode):
            return False
    return stat.S_ISREG(mode) and ".." not in below


def missing(file: Path) -> MissingError:
    """Return the error for a file that is not there."""
    return MissingError(file, "missing", "a file", "none", restore(file))


def write_file(file: Path, data: bytes) -> None:
    """Put a file in place all at once: readers see the old content or the new, and so does a machine that crashed."""
    temporary = file.parent / f"{NEW}{secrets.token_hex(8)}"
    try:
        _write_through(temporary, data)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


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
