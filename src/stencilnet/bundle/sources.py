"""Tasks outside a bundle: files are read one by one, so that a task of another backbone costs its record alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stencilnet.bundle.deltas import Reference, parse_delta
from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import JSON_LIMIT, TASK, check_name, delta_name
from stencilnet.bundle.records import parse_task
from stencilnet.bundle.schema import BundleConfig, TaskFile


@dataclass(frozen=True, kw_only=True)
class TaskSource:
    """A task outside a bundle.

    Attributes:
        place: Where it is, for error messages; the last part is the task's name.
        read: Returns the content of one of the task's files, given the file's name. It may be slow: the record is read
            first, and the delta only if the record fits the bundle.
    """

    place: Path
    read: Callable[[str], bytes]


@dataclass(frozen=True, kw_only=True)
class WholeTask:
    """A task that was read and checked.

    Attributes:
        place: Where it was read from.
        files: Its files by name, byte for byte.
        record: Its parsed ``task.json``.
    """

    place: Path
    files: dict[str, bytes]
    record: TaskFile


def folder_source(folder: Path) -> TaskSource:
    """Return the task in a folder, which may be one of a bundle or a copy."""
    return TaskSource(place=folder, read=partial(_read_file, folder))


def _read_file(folder: Path, name: str) -> bytes:
    return read_file(folder, folder / name, JSON_LIMIT if name == TASK else None)


def read_whole(source: TaskSource, config: BundleConfig, reference: Reference) -> WholeTask:
    """Read one task and check it against its own hashes, the backbone's hash and the backbone itself.

    Raises:
        BundleError: If the task's name is not valid, or the task is damaged or belongs to another backbone. In the last
            case, its delta has not been read.
    """
    place = source.place
    check_name(place.name)
    record = source.read(TASK)
    task = parse_task(record, place / TASK, config.backbone)
    delta = delta_name(task.delta)
    content = source.read(delta)
    parse_delta(content, place / delta, task, reference)
    return WholeTask(place=place, files={delta: content, TASK: record}, record=task)
