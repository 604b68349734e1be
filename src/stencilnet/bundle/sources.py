"""Tasks outside a bundle: files are read one by one, so that a task of another backbone costs its record alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stencilnet.bundle.architecture import read_backbone, reference_of
from stencilnet.bundle.deltas import Reference, check_columns, parse_delta
from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import CONFIG, JSON_LIMIT, TASK, TASKS, BundleError, check_name, delta_name
from stencilnet.bundle.reading import read_config
from stencilnet.bundle.records import delta_hash, parse_task
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


def read_with_columns(path: str | Path, name: str) -> list[WholeTask]:
    """Read and check a task of a bundle, and the tasks whose columns it runs through: what it needs in another bundle.

    Args:
        path: The bundle's folder.
        name: The task.

    Returns:
        The task, then the others by name.

    Raises:
        BundleError: If there is no such task, or one of them, the bundle's config or its backbone is damaged.
    """
    root, config = Path(path), read_config(path)
    folder = root / TASKS / check_name(name)
    if not (folder / TASK).exists():
        raise BundleError(folder, "no such task", "a task's folder", "none", "Check the name (`stencil info`).")
    reference = reference_of(config, read_backbone(root, config), root / CONFIG)
    found: dict[str, WholeTask] = {}
    wanted = [name]
    while wanted:
        each = wanted.pop()
        if each not in found:
            found[each] = read_whole(folder_source(root / TASKS / each), config, reference)
            check_columns(found[each].record, root / TASKS / each / TASK, partial(delta_hash, root))
            wanted += found[each].record.columns
    return [found.pop(name), *(found[other] for other in sorted(found))]


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
