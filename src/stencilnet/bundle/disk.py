"""Reads files inside a bundle's folder, and none outside it."""

import os
import stat
from pathlib import Path

from stencilnet.bundle.format import BACKBONE, BundleError, MissingError, restore


def read_file(root: Path, file: Path, limit: int | None = None) -> bytes:
    """Return the content of a regular file of the bundle.

    Raises:
        MissingError: If it is missing.
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
    """Return a file's content, or nothing if it is larger or not a regular file, three times as fast as `read_file`.

    Links are not checked, so the content may be searched but not used.
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
        MissingError: If it is missing.
        BundleError: If the path is refused.
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
    """Return whether a regular file is reached from the root without a link: the usual case, and fast to check."""
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
    """Return the error for a missing file."""
    alone = " Tasks that were shared without it can be merged into a bundle." if file.name == BACKBONE else ""
    return MissingError(file, "missing", "a file", "none", restore(file) + alone)
