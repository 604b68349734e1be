"""Archives into folders: nothing outside the folder, and nothing half-unpacked that could be taken for whole.

An archive is unpacked into ``.unpacking-NAME`` in the folder it belongs to, its entries are moved to their places, and
``.unpacked-NAME`` is written last. Links and devices are never made: no data set needs them.
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
from stencilnet.storage import sync_folder, write_text
from stencilnet.tasks.formats import open_image
from stencilnet.text.strict_json import dumps, loads

_BLOCK = 1 << 20
_SHOWN = 3
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError),
    *(NotImplementedError, RuntimeError),  # of zipfile: an unknown way of packing, encryption
)


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A file or folder in an archive; `position` is how far into the archive it lies, in bytes."""

    name: str
    folder: bool
    position: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def put_in_place(
    archive: Path, file: RemoteFile, root: Path, progress: ProgressCallback, *, ours: bool = False
) -> None:
    """Unpack an archive (or move a picture) to where the data set's layout has it; no file there is ever changed.

    Args:
        archive: The whole, checked file; it stays, unless it is a picture.
        file: What the catalogue says of it.
        root: The data root.
        progress: Told the bytes of the archive that are unpacked.
        ours: Whether it was downloaded just now, and not put there by the user: a picture that is bad is removed then.

    Raises:
        FetchError: If the archive is damaged, holds something that must not be unpacked or does not belong to the set,
            lacks a part of the set, would replace a file by another one, or the disk is full. Nothing of it is in
            place then, unless moving into place was cut short; another call starts over.
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
    """Return where a file is being unpacked; if this exists, an unpacking was cut short."""
    return root / file.into / f".unpacking-{file.name}"


def unpacked(file: RemoteFile, root: Path) -> bool:
    """Return whether a file was put in place by `put_in_place`, and all that it brought is still there."""
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
        remedy = "Delete it and give the same command again."
        raise FetchError(
            f"Expected {_marker(file, root)} to be as it was written, but got {error}. {remedy}"
        ) from error
    return told["archive"] == _identity(file) and all(os.path.isfile(place / name) for name in told["files"])


def lack(path: Path, held: Holding) -> str:
    """Return what a holding lacks at a path, in words; empty if nothing."""
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
    """Return where a holding lies in the archive that brings it."""
    return PurePosixPath(held.path).relative_to(file.into)


def _check_whole(archive: Path, file: RemoteFile, unpacked_in: Path) -> None:
    """Raise an error if an archive does not bring all that its set is known to hold."""
    lost = [words for held in file.holds if (words := lack(unpacked_in / _inside(file, held), held))]
    if lost:
        raise FetchError(
            f"Expected {archive} to be the data set's {file.name}, but this archive is not that set: "
            f"{'; '.join(lost)}. Nothing of it was put in place. Delete {archive} and give the same command again to "
            "fetch it anew; if that fails too, the publisher's file (or the mirror's) has changed."
        )


def _check_picture(path: Path, file: RemoteFile, *, ours: bool) -> None:
    try:
        with open_image(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        if ours:
            path.unlink()
            raise FetchError(
                f"Expected the {file.name} that was downloaded to be a whole picture, but it cannot be read ({error}). "
                "It has been removed. Give the same command again; if that fails too, the server sends something "
                f"else: name a mirror, or get it another way and put it at {path}."
            ) from error
        raise FetchError(
            f"Expected {path} to be a whole picture, but it cannot be read ({error}). Delete it and give the same "
            "command again to fetch it anew."
        ) from error


def _unpack(archive: Path, file: RemoteFile, folder: Path, progress: ProgressCallback) -> list[str]:
    """Write the members of an archive under a new folder; return the names of its files."""
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
        raise _damaged(archive, f"two of its entries have one name, {error.filename}") from error
    if not names:
        raise _damaged(archive, "it holds no files")
    progress(f"unpack {file.name}", total, total)
    return names


def _damaged(archive: Path, how: str) -> FetchError:
    return FetchError(
        f"Expected {archive} to be a whole archive, but it is damaged: {how or 'its data end too early'}. Nothing of "
        "it was put in place. Delete it and give the same command again to fetch it anew."
    )


def _safe_name(archive: Path, name: str, own: list[str]) -> str:
    """Return a member's path relative to the folder it is unpacked in; `own` are the set's own entries there."""
    windows = PureWindowsPath(name)  # splits at both kinds of slashes, and knows drives
    if windows.drive or windows.root or ".." in windows.parts or "\0" in name:
        raise _refused(archive, f"an entry that leads out of the folder, {name!r}")
    path = PurePosixPath(name)
    if path.parts and path.parts[0] not in own:  # there are none in "./", the folder itself
        raise FetchError(
            f"Expected {archive} to hold {' and '.join(own)} and nothing beside it, but it has an entry {name!r}: this "
            "archive is not that set. Nothing of it was put in place, for it could replace another set's files. Delete "
            f"{archive} and give the same command again to fetch it anew; if that fails too, the publisher's file (or "
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
    """Check that a tar ends as it should, in zeros: tarfile takes a broken header for the end, and skips gzip's CRC."""
    stream = opened.fileobj
    assert stream is not None  # it is open
    whole = stream.tell() >= opened.offset + tarfile.BLOCKSIZE
    while block := stream.read(_BLOCK):
        whole = whole and not any(block)
    if not whole:
        raise tarfile.ReadError("its list of entries breaks off")


def _tar_content(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = opened.extractfile(info)
    assert content is not None  # it is a regular file
    return content


def _in_the_way(source: Path, place: Path) -> Iterator[str]:
    """Yield, in words, what keeps the entries of a folder from being moved into another one."""
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
        yield f"{target} to be as in the archive, but another file lies there"


def _check_clear(blocked: Iterator[str]) -> None:
    found = list(blocked)
    if found:
        more = f"; and {len(found) - _SHOWN} more such files" if len(found) > _SHOWN else ""
        raise FetchError(
            f"Expected {'; '.join(found[:_SHOWN])}{more}. Nothing was replaced or put in place. Move away what is "
            "named (or name another --root) and give the same command again."
        )


def _move(source: Path, place: Path) -> None:
    """Move what is in a folder into another one, whole folders at once where the other has none of that name."""
    for entry in sorted(source.iterdir()):
        target = place / entry.name
        if entry.is_dir() and target.is_dir():
            _move(entry, target)
            entry.rmdir()
        else:
            os.replace(entry, target)
    sync_folder(place)
