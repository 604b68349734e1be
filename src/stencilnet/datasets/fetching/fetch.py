"""Fetching a data set into its official layout: download what is missing, unpack it, and make the derived files."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from filelock import FileLock, Timeout

from stencilnet.data.folders import FolderError
from stencilnet.data.official.files import ProgressCallback, is_replica
from stencilnet.data.official.layouts import SetLayout
from stencilnet.datasets.fetching.catalog import AnyDataSet, DataSet, HandSet, Holding, RemoteFile
from stencilnet.datasets.fetching.download import PAUSES, Wanted, download
from stencilnet.datasets.fetching.problems import FetchError, full_disk_named, human_bytes
from stencilnet.datasets.fetching.unpack import lack, put_in_place, unpacked, unpacking

DOWNLOADS = "downloads"
"""Folder under the data root that holds archives until they are unpacked."""

_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class State:
    """State of a data set under a root.

    Attributes:
        state: ``present`` (ready to use), ``incomplete`` or ``absent``.
        missing: Texts on what is missing; empty if present.
        note: A remark on a set that is present, or on a replica; else empty.
    """

    state: Literal["present", "incomplete", "absent"]
    missing: tuple[str, ...] = ()
    note: str = ""


def look(entry: AnyDataSet, layout: SetLayout | None, root: Path) -> State:
    """Return whether a data set is present, complete and ready to use.

    Args:
        entry: The set's entry in the catalogue.
        layout: Its official layout; None for a set that is laid out by hand.
        root: The data root.
    """
    if isinstance(entry, HandSet):
        return _look_for_hand_set(entry, root)
    partial = tuple(words for file in entry.files if (words := _unfinished(file, root)))
    missing = partial + (_missing(layout, root) if layout else ())
    if is_replica(entry.name, root):
        return State(state="incomplete" if missing else "present", missing=missing, note="a tiny replica")
    if not missing:
        short = tuple(words for file in entry.files for held in file.holds if (words := lack(root / held.path, held)))
        return State(state="present", note=f"smaller than the published set: {short[0]}" if short else "")
    begun = bool(partial) or any(_any_there(file.holds, root) for file in entry.files)
    return State(state="incomplete" if begun else "absent", missing=missing)


def refuse_mixing(name: str, found: State, root: Path) -> None:
    """Check that no other set, such as a replica, lies where a set would go.

    Raises:
        FetchError: If one does.
    """
    if not found.note:
        return
    broken = found.state != "present"  # an incomplete set has a note only if it is a replica
    again = f" To repair the replica, delete it and run `stencil data make {name} --root {root}`."
    raise FetchError(
        f"Expected {root} to hold no other set in the layout of {name}, but it has one: {found.note}"
        f"{f', incomplete ({found.missing[0]})' if broken else ''}. Choose another --root, or delete that set first: "
        f"the two must not be mixed.{again if broken else ''}"
    )


def _look_for_hand_set(entry: HandSet, root: Path) -> State:
    replica = is_replica(entry.name, root)
    holds = tuple(replace(held, files=1) for held in entry.holds) if replica else entry.holds
    short = tuple(words for held in holds if (words := lack(root / held.path, held)))
    note = "a tiny replica" if replica else ""
    if not short:
        return State(state="present", note=note)
    begun = replica or _any_there(holds, root)
    return State(state="incomplete" if begun else "absent", missing=short, note=note)


def fetch(
    entry: DataSet,
    layout: SetLayout,
    root: Path,
    *,
    transfer: ProgressCallback,
    work: ProgressCallback,
    mirror: str | None = None,
    keep_archives: bool = False,
    pauses: tuple[float, ...] = PAUSES,
) -> bool:
    """Fetch a data set into its official layout; existing parts are not fetched again.

    Archives are downloaded to ``downloads/`` and deleted after unpacking. An archive that is already there is used.

    Args:
        entry: The set's entry in the catalogue.
        layout: Its official layout.
        root: The data root; created if missing.
        transfer: Called with the number of bytes downloaded, checked and unpacked.
        work: Called with the number of derived items made.
        mirror: Base address of a server that has the files under their names; None, the default, is the publisher's.
        keep_archives: Whether to keep the archives in ``downloads/``. Default False.
        pauses: Seconds to wait before each new attempt to download.

    Returns:
        False if the set was already complete.

    Raises:
        FetchError: If a file cannot be downloaded or unpacked, the disk is too small, or something is still missing at
            the end. Finished work is kept; the same call resumes it.
    """
    found = look(entry, layout, root)
    refuse_mixing(entry.name, found, root)
    if found.state == "present":
        return False
    with _alone(root / DOWNLOADS):
        todo = [file for file in entry.files if not _there(file, root)]
        _check_room(entry, todo, root, keep_archives=keep_archives)
        for file in todo:
            url = file.url if mirror is None else f"{mirror.rstrip('/')}/{quote(file.name)}"
            archive = root / DOWNLOADS / file.name
            wanted = Wanted(url=url, target=archive, size=file.bytes, checksum=file.checksum)
            ours = not archive.exists()
            download(wanted, transfer, pauses=pauses)
            put_in_place(archive, file, root, transfer, ours=ours)
            if not keep_archives:
                archive.unlink(missing_ok=True)
        with full_disk_named(root, "Derived files are kept."):
            layout.prepare(root, work)
    _check_complete(entry, layout, root)
    return True


def _missing(layout: SetLayout, root: Path) -> tuple[str, ...]:
    try:
        return layout.missing(root)
    except FolderError as error:  # a list of images cannot be read, and the error says so
        return (str(error),)


def _there(file: RemoteFile, root: Path) -> bool:
    """Return whether a file's content is in place, unpacked by us or by the user."""
    if unpacked(file, root):
        return True
    return not unpacking(file, root).exists() and not any(lack(root / held.path, held) for held in file.holds)


def _any_there(holds: tuple[Holding, ...], root: Path) -> bool:
    return any((root / held.path).exists() for held in holds)


def _unfinished(file: RemoteFile, root: Path) -> str:
    part = root / DOWNLOADS / f"{file.name}.part"
    if part.exists():
        return f"{file.name} is partly fetched ({human_bytes(part.stat().st_size)} of {human_bytes(file.expected)})"
    return f"{file.name} is partly unpacked" if unpacking(file, root).exists() else ""


def _check_room(entry: DataSet, todo: list[RemoteFile], root: Path, *, keep_archives: bool) -> None:
    """Raise an error if the disk has too little free space for the archives and their content, one after the other."""
    filled = peak = 0
    for file in todo:
        have = sum(_size(root / DOWNLOADS / name) for name in (file.name, f"{file.name}.part"))
        packed = max(file.expected - have, 0)
        content = file.expected if file.room is None else file.room
        if file.kind == "picture":
            content = 0  # it is moved, not copied
        peak = max(peak, filled + packed + content)
        filled += content + (packed if keep_archives else -have)
    free = shutil.disk_usage(root).free
    if peak > free:
        raise FetchError(
            f"Expected {human_bytes(peak)} of free space for {entry.name} in {root}, archives and content together, "
            f"but the disk has {human_bytes(free)}. Free disk space, or choose a --root on a larger disk."
        )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _check_complete(entry: DataSet, layout: SetLayout, root: Path) -> None:
    missing = _missing(layout, root)
    if missing:
        shown = "; ".join(missing[:_SHOWN]) + (f"; and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        raise FetchError(
            f"Expected {entry.name} in {root} to be complete after unpacking all of its files, but: {shown}. "
            "Move away the files in the way and run the same command again."
        )


@contextmanager
def _alone(downloads: Path) -> Iterator[None]:
    """Prevent a second process from fetching into the same root at the same time."""
    downloads.mkdir(parents=True, exist_ok=True)
    lock = FileLock(downloads / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise FetchError(
            f"Expected to be the only process fetching into {downloads.parent}, but another one holds "
            f"{downloads / '.lock'}. Wait until it has ended, and run the same command again."
        ) from error
    try:
        yield
    finally:
        lock.release()
