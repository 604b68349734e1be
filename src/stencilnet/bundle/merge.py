"""Merges tasks that were learned over one backbone in several places."""

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stencilnet.bundle.architecture import read_backbone, reference_of
from stencilnet.bundle.archive import archive_sources
from stencilnet.bundle.deltas import check_columns
from stencilnet.bundle.editing import check_free_name, renew_card, write_new_files
from stencilnet.bundle.format import CONFIG, TASK, TASKS, BundleError
from stencilnet.bundle.reading import read_config
from stencilnet.bundle.records import delta_hash, parse_task, task_names
from stencilnet.bundle.schema import record_body
from stencilnet.bundle.sources import TaskSource, WholeTask, folder_source, read_whole


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
        sources: Bundles, single tasks' folders (``tasks/<name>`` of a bundle, or a copy of one), or archives
            (`pack_task`).

    Raises:
        BundleError: If a source is none of these, a task is damaged or belongs to another backbone, two different tasks
            have one name, or a task runs through a column that is neither here nor in a source; nothing has been
            written.
    """
    return merge_tasks(path, (task for source in sources for task in tasks_of(source)))


def merge_tasks(path: str | Path, sources: Iterable[TaskSource]) -> Merged:
    """Install tasks from anywhere, as `merge` does.

    Args:
        path: The bundle.
        sources: The tasks.

    Raises:
        BundleError: As for `merge`.
    """
    root = Path(path)
    config = read_config(root)
    reference = reference_of(config, read_backbone(root, config), root / CONFIG)
    found: dict[str, WholeTask] = {}
    for source in sources:
        task = read_whole(source, config, reference)
        _check_same(found.setdefault(task.place.name, task), task)
    present = sorted(name for name in found if (root / TASKS / name / TASK).exists())
    for name in present:
        _check_same(read_whole(folder_source(root / TASKS / name), config, reference), found[name])
    added = sorted(found.keys() - set(present))

    def hash_of(name: str) -> str | None:
        return found[name].record.delta if name in found else delta_hash(root, name)

    for name in added:
        check_free_name(root, name)
        check_columns(found[name].record, found[name].place / TASK, hash_of)
    for name in sorted(added, key=lambda name: len(found[name].record.columns)):  # a column before what runs through it
        write_new_files(root, name, found[name].files)
    renew_card(root)  # also if nothing was added: an earlier call may have crashed before this
    return Merged(added=tuple(added), present=tuple(present))


def tasks_of(path: str | Path) -> Iterator[TaskSource]:
    """Yield the tasks of a bundle, of a task's folder or of an archive on this machine.

    Raises:
        BundleError: If the path is none of these.
    """
    source = Path(path)
    if (source / CONFIG).is_file():
        read_config(source)
        for name in task_names(source):
            yield folder_source(source / TASKS / name)
    elif (source / TASK).is_file():
        yield folder_source(Path(os.path.abspath(source)))  # `.` has no name
    elif zipfile.is_zipfile(source):
        yield from archive_sources(source)
    else:
        got = "no such folder or file"
        if source.exists():
            got = f"a folder without {CONFIG} or {TASK}" if source.is_dir() else "a file that is no ZIP archive"
        raise BundleError(
            source,
            "nothing to merge",
            f"a bundle's folder (with {CONFIG}), or one task's ({TASKS}/<name>, with {TASK}), or its archive (.zip)",
            got,
            "Check the path. A repository of a hub is named `hf:OWNER/NAME`.",
        )


def _check_same(one: WholeTask, other: WholeTask) -> None:
    if one.files == other.files:
        return
    raise BundleError(
        other.place,
        f"another task of this name is in {one.place}",
        "the same one, byte for byte",
        f"one with another {', '.join(_differing(one, other)) or 'layout of its JSON'}",
        f"Name the tasks that you want ({TASKS}/<name> of the source) instead of the whole bundle, or copy a task's "
        "folder under another name: a task has the name of its folder.",
    )


def _differing(one: WholeTask, other: WholeTask) -> list[str]:
    mine, theirs = (parse_task(task.files[TASK], task.place / TASK, None) for task in (one, other))
    here, there = (record_body(task.record, "") for task in (mine, theirs))
    differing = [name for name in here if here[name] != there[name]]
    return [
        *differing,
        *(["order"] if mine.order != theirs.order else []),
        *(["delta"] if mine.delta != theirs.delta else []),
        *(["columns"] if mine.columns != theirs.columns else []),
    ]
