"""Merges tasks that were learned over one backbone in several places."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stencilnet.bundle.architecture import read_backbone, reference_of
from stencilnet.bundle.deltas import Reference, check_columns, parse_delta
from stencilnet.bundle.disk import read_file
from stencilnet.bundle.editing import check_free_name, renew_card, write_new_files
from stencilnet.bundle.format import CONFIG, JSON_LIMIT, TASK, TASKS, BundleError, check_name, delta_name
from stencilnet.bundle.reading import read_config
from stencilnet.bundle.records import delta_hash, parse_task, task_names
from stencilnet.bundle.schema import BundleConfig, TaskFile, record_body


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The result of `merge`.

    Attributes:
        added: Names of the tasks that were installed, sorted.
        present: Names of the sources' tasks that the bundle already had, byte for byte, sorted.
    """

    added: tuple[str, ...]
    present: tuple[str, ...]


def merge(path: str | Path, sources: Sequence[str | Path]) -> Merged:
    """Install the tasks of other bundles over the same backbone, byte for byte.

    All tasks of all sources are read and checked before anything is written; then each is installed atomically. After a
    crash each task is either complete or absent: merge again. The result is the same, byte for byte, whatever the order
    of the sources, in one call or in several.

    Args:
        path: The bundle.
        sources: Bundles, or single tasks' folders (``tasks/<name>`` of a bundle, or a copy of one).

    Raises:
        BundleError: If a source is neither, a task is damaged or belongs to another backbone, two different tasks have
            one name, or a task runs through a column that is neither here nor in a source; nothing has been written.
    """
    root = Path(path)
    config = read_config(root)
    reference = reference_of(config, read_backbone(root, config), root / CONFIG)
    found: dict[str, _Task] = {}
    for folder in (task for source in sources for task in _task_folders(Path(source))):
        task = _read(folder, config, reference)
        other = found.setdefault(folder.name, task)
        _check_same(other, task)
    present = sorted(name for name in found if (root / TASKS / name / TASK).exists())
    for name in present:
        _check_same(_read(root / TASKS / name, config, reference), found[name])
    added = sorted(found.keys() - set(present))

    def hash_of(name: str) -> str | None:
        return found[name].record.delta if name in found else delta_hash(root, name)

    for name in added:
        check_free_name(root, name)
        check_columns(found[name].record, found[name].folder / TASK, hash_of)
    for name in sorted(added, key=lambda name: len(found[name].record.columns)):  # a column before what runs through it
        write_new_files(root, name, found[name].files)
    renew_card(root)  # also if nothing was added: an earlier call may have crashed before this
    return Merged(added=tuple(added), present=tuple(present))


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A task's files by name, as on disk, and its parsed ``task.json``."""

    folder: Path
    files: dict[str, bytes]
    record: TaskFile


def _task_folders(source: Path) -> Iterator[Path]:
    if (source / CONFIG).is_file():
        read_config(source)
        for name in task_names(source):
            yield source / TASKS / name
    elif (source / TASK).is_file():
        yield Path(os.path.abspath(source))  # `.` has no name
    else:
        got = "a file" if source.is_file() else "no such folder"
        if source.is_dir():
            got = f"a folder without {CONFIG} or {TASK}"
        raise BundleError(
            source,
            "nothing to merge",
            f"a bundle's folder (with {CONFIG}), or one task's ({TASKS}/<name>, with {TASK})",
            got,
            "Check the path. Copy what is elsewhere, such as on a hub, to this machine first.",
        )


def _read(folder: Path, config: BundleConfig, reference: Reference) -> _Task:
    """Read one task and check it against its own hashes, the backbone's hash and the backbone itself."""
    check_name(folder.name)
    record = read_file(folder, folder / TASK, JSON_LIMIT)
    task = parse_task(record, folder / TASK, config.backbone)
    delta = folder / delta_name(task.delta)
    content = read_file(folder, delta)
    parse_delta(content, delta, task, reference)
    return _Task(folder=folder, files={delta.name: content, TASK: record}, record=task)


def _check_same(one: _Task, other: _Task) -> None:
    if one.files == other.files:
        return
    raise BundleError(
        other.folder,
        f"another task of this name is in {one.folder}",
        "the same one, byte for byte",
        f"one with another {', '.join(_differing(one, other)) or 'layout of its JSON'}",
        f"Name the tasks that you want ({TASKS}/<name> of the source) instead of the whole bundle, or copy a task's "
        "folder under another name: a task has the name of its folder.",
    )


def _differing(one: _Task, other: _Task) -> list[str]:
    mine, theirs = (parse_task(task.files[TASK], task.folder / TASK, None) for task in (one, other))
    here, there = (record_body(task.record, "") for task in (mine, theirs))
    differing = [name for name in here if here[name] != there[name]]
    return [
        *differing,
        *(["order"] if mine.order != theirs.order else []),
        *(["delta"] if mine.delta != theirs.delta else []),
        *(["columns"] if mine.columns != theirs.columns else []),
    ]
