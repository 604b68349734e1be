"""One task as one file: a ZIP archive of the task's folder (``docs/format.md``)."""

import errno
import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from stencilnet.bundle.format import DELTA_LIMIT, JSON_LIMIT, TASK, BundleError
from stencilnet.bundle.sources import TaskSource, read_with_columns

_DATE = (1980, 1, 1, 0, 0, 0)
"""Date of every entry, the earliest of the format: the archive's bytes depend on the task alone."""

_FILE = stat.S_IFREG | 0o644

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods that are read. Archives are written without compression: deltas are entropy-coded."""

_RATIO, _SLACK = 100, 1 << 16
"""An entry may unpack to this many times its stored size, and so many bytes more: beyond it is a decompression bomb."""

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)
_REMEDY = "Do not use this file. Get the task's archive again (`stencil pack` writes it), or the task's folder."


def pack_task(path: str | Path, name: str) -> bytes:
    """Return a task of a bundle as the bytes of an archive, after checking it; equal tasks give equal bytes.

    The tasks whose columns it runs through come with it.

    Args:
        path: The bundle's folder.
        name: The task.

    Raises:
        BundleError: If there is no such task, or the bundle's config or backbone or the task is damaged.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for task in read_with_columns(path, name):
            for file in sorted(task.files, reverse=True):  # the record first: a reader decides by it
                entry = zipfile.ZipInfo(f"{task.place.name}/{file}", _DATE)
                entry.create_system, entry.external_attr = 3, _FILE << 16  # Unix, on every system
                archive.writestr(entry, task.files[file])
    return packed.getvalue()


def archive_sources(file: Path) -> Iterator[TaskSource]:
    """Yield the tasks of an archive: its top-level folders that hold a ``task.json``. Other files are ignored.

    Nothing is unpacked to disk.

    Raises:
        BundleError: If the file is not a ZIP archive, holds no task, or has an entry that is no plain file or leads out
            of the archive.
    """
    names = [name for entry in _entries(file) for name, _, inner in [entry.partition("/")] if inner == TASK]
    if not names:
        expected = f"a ZIP archive with a folder NAME, and in it {TASK} and the file that it names"
        raise BundleError(file, "no task's archive", expected, f"one without NAME/{TASK}", _REMEDY)
    for name in names:
        yield TaskSource(place=file / name, read=partial(_read, file, name))


def _read(file: Path, task: str, name: str) -> bytes:
    """Return the content of a task's file in an archive; the size is bounded before and while it is unpacked."""
    found = _entries(file).get(f"{task}/{name}")
    place, limit = file / task / name, JSON_LIMIT if name == TASK else DELTA_LIMIT
    if found is None:
        raise BundleError(place, "missing", "an entry of the archive", "none", _REMEDY)
    most = min(limit, _RATIO * found.compress_size + _SLACK)
    if found.file_size > most:
        raise BundleError(place, "too large", f"at most {most:,} bytes", f"{found.file_size:,} bytes", _REMEDY)
    with _reading(place), zipfile.ZipFile(file) as archive, archive.open(found) as stream:
        return stream.read(found.file_size)  # a number bounds what is unpacked, whatever the entry's header says


def _entries(file: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by path, after checking all of them."""
    with _reading(file), zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        problem = _problem(entry) or ("a name that occurs twice" if entry.filename in found else "")
        if problem:
            got = f"{problem}, {entry.filename!a}"
            raise BundleError(file, "an unsafe archive", "plain files and folders inside the archive", got, _REMEDY)
        if not entry.is_dir():
            found[entry.filename] = entry
    return found


def _problem(entry: zipfile.ZipInfo) -> str:
    """Return why an entry must not be read, or an empty text."""
    windows = PureWindowsPath(entry.filename)  # splits at both kinds of slashes, and recognises drives
    if windows.drive or windows.root or ".." in windows.parts or str(PurePosixPath(entry.filename)) == ".":
        return "an entry outside the archive"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device"
    if entry.flag_bits & 1:
        return "an encrypted entry"
    return "" if entry.compress_type in _METHODS else "an entry of an unknown compression"


@contextmanager
def _reading(place: Path) -> Iterator[None]:
    """Report damage that zipfile finds as an error about a file or an entry."""
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that is a seek to a place before the file
            raise
        got = f"{type(error).__name__}: {error}"
        raise BundleError(place, "a damaged archive", "a complete ZIP archive", got, _REMEDY) from error
