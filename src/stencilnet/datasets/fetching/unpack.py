"""Unpacking of archives: never outside the target folder, and never partly without a trace.

An archive is unpacked into ``.unpacking-NAME`` in its target folder, then its entries are moved into place, and
``.unpacked-NAME`` is written last. Links and devices are never created: no data set needs them.
"""

import filecmp
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from stencilnet.data.official.files import ProgressCallback
from stencilnet.datasets.fetching.catalog import Holding, RemoteFile
from stencilnet.datasets.fetching.problems import FetchError, full_disk_named
from stencilnet.pictures.formats import open_image
from stencilnet.storage import sync_folder, write_text
from stencilnet.text.strict_json import dumps, loads

_BLOCK = 1 << 20
_SHOWN = 3
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError),
    *(NotImplementedError, RuntimeError),  # from zipfile: unknown compression, encryption
)


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A file or folder in an archive; `position` is its offset in the archive, in bytes."""

    name: str
    folder: bool
    position: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def put_in_place(
    archive: Path, file: RemoteFile, root: Path, progress: ProgressCallback, *, ours: bool = False
) -> None:
    """Unpack an archive (or move a picture) into the data set's layout; existing files are never changed.

    Args:
        archive: The complete, checked file. An archive is kept, a picture is moved.
        file: Its entry in the catalogue.
        root: The data root.
        progress: Called with the number of bytes of the archive that are unpacked.
        ours: Whether it was just downloaded rather than put there by the user; then an unreadable picture is removed.

    Raises:
        FetchError: If the archive is damaged, has entries that must not be unpacked or do not belong to the set, lacks
            a part of the set, would replace a different file, or the disk is full. Then nothing is put in place, unless
            moving into place was interrupted; another call starts over.
    """
    place = root / file.into
    place.mkdir(parents=True, exist_ok=True)
    if file.kind == "picture":
        _check_picture(archive, file, ours=ours)
        _check_clear(_blocked(archive, place / file.name))
        os.replace(archive, place / file.name)
        sync_folder(place)
        return
    temporary = unpacking(file, root)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with full_disk_named(place, f"{archive} is kept, and what was unpacked of it is removed."):
            names = _unpack(archive, file, temporary, progress)
        _check_whole(archive, file, temporary)
        _check_clear(_in_the_way(temporary, place))
    except (FetchError, OSError):
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _move(temporary, place)
    if os.name == "posix":
        os.sync()  # the marker must not outlive the files in a crash of the machine
    write_text(_marker(file, root), dumps({"archive": _identity(file), "files": names}))
    temporary.rmdir()


def unpacking(file: RemoteFile, root: Path) -> Path:
    """Return the folder in which a file is unpacked; if it exists, unpacking was interrupted."""
    return root / file.into / f".unpacking-{file.name}"


def unpacked(file: RemoteFile, root: Path) -> bool:
    """Return whether `put_in_place` put a file in place, and all of its content still exists."""
    place = root / file.into
    if file.kind == "picture":
        return (place / file.name).is_file()
    if unpacking(file, root).exists():
        return False
    try:
        told = loads(_marker(file, root).read_bytes())
    except FileNotFoundError:
        return False
    except ValueError as error:
        remedy = "Delete it and run the same command again."
        raise FetchError(f"Expected {_marker(file, root)} to be unchanged JSON, but got {error}. {remedy}") from error
    return told["archive"] == _identity(file) and all(os.path.isfile(place / name) for name in told["files"])


def lack(path: Path, held: Holding) -> str:
    """Return a text that says what a holding lacks at a path; empty if it is complete."""
    if not path.exists():
        return f"{held.path} is missing"
    if not path.is_dir():
        return ""
    with os.scandir(path) as entries:
        count = sum(1 for entry in entries if not entry.name.startswith("."))
    return f"{held.path} has {count} of {held.files} files" if count < held.files else ""


def _marker(file: RemoteFile, root: Path) -> Path:
    return root / file.into / f".unpacked-{file.name}"


def _identity(file: RemoteFile) -> dict[str, int | str | None]:
    return {"bytes": file.bytes, "checksum": file.checksum.digest if file.checksum else None}


def _inside(file: RemoteFile, held: Holding) -> PurePosixPath:
    """Return the path of a holding in its archive."""
    return PurePosixPath(held.path).relative_to(file.into)


def _check_whole(archive: Path, file: RemoteFile, unpacked_in: Path) -> None:
    """Raise an error if an archive lacks anything that its data set is known to contain."""
    lost = [words for held in file.holds if (words := lack(unpacked_in / _inside(file, held), held))]
    if lost:
        raise FetchError(
            f"Expected {archive} to be the data set's {file.name}, but this archive is not that set: "
            f"{'; '.join(lost)}. Nothing of it was put in place. Delete {archive} and run the same command again to "
            "fetch it again; if that fails too, the publisher's file (or the mirror's) has changed."
        )


def _check_picture(path: Path, file: RemoteFile, *, ours: bool) -> None:
    try:
        with open_image(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        if ours:
            path.unlink()
            raise FetchError(
                f"Expected the downloaded {file.name} to be a complete picture, but it cannot be read ({error}). "
                "It has been removed. Run the same command again; if that fails too, the server sends something "
                f"else: use a mirror, or get it another way and put it at {path}."
            ) from error
        raise FetchError(
            f"Expected {path} to be a complete picture, but it cannot be read ({error}). Delete it and run the same "
            "command again to fetch it again."
        ) from error


def _unpack(archive: Path, file: RemoteFile, folder: Path, progress: ProgressCallback) -> list[str]:
    """Extract an archive into a new folder and return the names of its files."""
    total, names = archive.stat().st_size, []
    own = sorted({_inside(file, held).parts[0] for held in file.holds})
    members = _zip_members(archive) if file.kind == "zip" else _tar_members(archive)
    try:
        with closing(members):
            for member in members:
                name = _safe_name(archive, member.name, own)
                progress(f"unpack {file.name}", min(member.position, total), total)
                if member.folder:
                    (folder / name).mkdir(parents=True, exist_ok=True)
                    continue
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, (folder / name).open("xb") as target:
                    shutil.copyfileobj(source, target, _BLOCK)
                names.append(name)
    except _DAMAGE as error:
        raise _damaged(archive, str(error).partition("\n")[0].rstrip(":")) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise _damaged(archive, f"two of its entries have the same name, {error.filename}") from error
    if not names:
        raise _damaged(archive, "it has no files")
    progress(f"unpack {file.name}", total, total)
    return names


def _damaged(archive: Path, how: str) -> FetchError:
    return FetchError(
        f"Expected {archive} to be a complete archive, but it is damaged: {how or 'its data end too early'}. Nothing "
        "of it was put in place. Delete it and run the same command again to fetch it again."
    )


def _safe_name(archive: Path, name: str, own: list[str]) -> str:
    """Return a member's path relative to the target folder; `own` are the set's own top-level entries."""
    windows = PureWindowsPath(name)  # splits at both kinds of slashes, and recognises drives
    if windows.drive or windows.root or ".." in windows.parts or "\0" in name:
        raise _refused(archive, f"an entry outside the target folder, {name!r}")
    path = PurePosixPath(name)
    if path.parts and path.parts[0] not in own:  # "./", the folder itself, has no parts
        raise FetchError(
            f"Expected {archive} to hold {' and '.join(own)} and nothing else, but it has an entry {name!r}: this "
            "archive is not that set. Nothing of it was put in place: it could replace another set's files. Delete "
            f"{archive} and run the same command again to fetch it again; if that fails too, the publisher's file (or "
            "the mirror's) has changed."
        )
    return path.as_posix()


def _refused(archive: Path, what: str) -> FetchError:
    return FetchError(
        f"Expected {archive} to hold plain files and folders, but it has {what}. Nothing of it was put in place. Do "
        "not trust this archive; delete it, and fetch it from the publisher."
    )


def _zip_members(archive: Path) -> Generator[_Member, None, None]:
    with zipfile.ZipFile(archive) as opened:
        position = 0
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, f"a link or a device, {info.filename!r}")
            position += info.compress_size
            yield _Member(name=info.filename, folder=info.is_dir(), position=position, open=partial(opened.open, info))


def _tar_members(archive: Path) -> Generator[_Member, None, None]:
    with archive.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:*") as opened:
        for info in opened:
            if not (info.isreg() or info.isdir()):
                raise _refused(archive, f"a link or a device, {info.name!r}")
            yield _Member(
                name=info.name,
                folder=info.isdir(),
                position=stream.tell(),
                open=partial(_tar_content, opened, info),
            )
        _check_end(opened)


def _check_end(opened: tarfile.TarFile) -> None:
    """Check that a tar ends in zeros: tarfile treats a broken header as the end, and does not check gzip's CRC."""
    stream = opened.fileobj
    assert stream is not None  # it is open
    whole = stream.tell() >= opened.offset + tarfile.BLOCKSIZE
    while block := stream.read(_BLOCK):
        whole = whole and not any(block)
    if not whole:
        raise tarfile.ReadError("its list of entries is truncated")


def _tar_content(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = opened.extractfile(info)
    assert content is not None  # it is a regular file
    return content


def _in_the_way(source: Path, place: Path) -> Iterator[str]:
    """Yield texts on what prevents the entries of a folder from being moved into another one."""
    for entry in sorted(source.iterdir()):
        if entry.is_dir() and (place / entry.name).is_dir():
            yield from _in_the_way(entry, place / entry.name)
        else:
            yield from _blocked(entry, place / entry.name)


def _blocked(entry: Path, target: Path) -> Iterator[str]:
    if not os.path.lexists(target):
        return
    if entry.is_dir():
        yield f"{target} to be a folder, but it is a file"
    elif target.is_dir():
        yield f"{target} to be a file, but it is a folder"
    elif not target.is_file() or not filecmp.cmp(entry, target, shallow=False):
        yield f"{target} to be as in the archive, but it is a different file"


def _check_clear(blocked: Iterator[str]) -> None:
    found = list(blocked)
    if found:
        more = f"; and {len(found) - _SHOWN} more such files" if len(found) > _SHOWN else ""
        raise FetchError(
            f"Expected {'; '.join(found[:_SHOWN])}{more}. Nothing was replaced or put in place. Move away these files "
            "(or choose another --root) and run the same command again."
        )


def _move(source: Path, place: Path) -> None:
    """Merge a folder into another one; a subfolder that does not exist there is moved as a whole."""
    for entry in sorted(source.iterdir()):
        target = place / entry.name
        if entry.is_dir() and target.is_dir():
            _move(entry, target)
            entry.rmdir()
        else:
            os.replace(entry, target)
    sync_folder(place)
