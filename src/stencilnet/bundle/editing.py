"""Adds, replaces and removes single tasks of a bundle."""

import errno
import logging
from collections.abc import Mapping
from pathlib import Path

from stencilnet.bundle.architecture import reference_of
from stencilnet.bundle.card import write_card
from stencilnet.bundle.format import BACKBONE, CONFIG, TASK, TASKS, BundleError, check_name, delta_name, sha256_of
from stencilnet.bundle.reading import read_config
from stencilnet.bundle.record import TaskRecord
from stencilnet.bundle.records import needing, next_place, read_task
from stencilnet.bundle.schema import BundleConfig, TaskFile
from stencilnet.bundle.tensors import encode_backbone, encode_delta
from stencilnet.delta import TaskDelta
from stencilnet.delta.spec import Array
from stencilnet.storage import remove_folder, sync_folder, write_file, write_folder

logger = logging.getLogger(__name__)


def add_task(
    path: str | Path,
    name: str,
    record: TaskRecord,
    delta: TaskDelta,
    *,
    shared: Mapping[str, Array],
    order: int | None = None,
) -> None:
    """Add a task to a bundle, atomically: a reader sees it whole or not at all.

    Args:
        path: The bundle's folder.
        name: The task's name: 1 to 64 of a-z, 0-9, ``.``, ``_`` and ``-``, the first a letter or digit.
        record: What the task is.
        delta: What it changes.
        shared: The weights that it was learned over, as arrays: they must be the bundle's, byte for byte.
        order: Its place in the order of learning, from 0; ties are ordered by name. None (default) for the end. Tasks
            learned on several machines need a place that does not depend on which finishes first.

    Raises:
        ValueError: If `order` is negative.
        BundleError: If the name is taken or not valid, the task was learned over other weights, or it runs through
            columns of tasks that the bundle lacks.
        DeltaError: If the delta does not fit the backbone or the record.
    """
    if order is not None and order < 0:
        raise ValueError(f"Expected `order` to be at least 0, but got {order}.")
    root = Path(path)
    config = _check_shared(root, shared)
    check_free_name(root, name)
    reference_of(config, shared, root / CONFIG).check(delta, record.channels)
    content = encode_delta(delta)
    place = next_place(root) if order is None else order
    columns = _columns(root, delta, config)
    task = TaskFile(record=record, order=place, backbone=config.backbone, delta=sha256_of(content), columns=columns)
    write_new(root, name, task, content)
    renew_card(root)


def replace_task(
    path: str | Path, name: str, record: TaskRecord, delta: TaskDelta, *, shared: Mapping[str, Array]
) -> None:
    """Replace a task by one that was learned again, atomically; it keeps its place in the order.

    The arguments are those of `add_task`.

    Raises:
        BundleError: If there is no such task, another task runs through its column, or the new one was learned over
            other weights.
        DeltaError: If the delta does not fit the backbone or the record.
    """
    root = Path(path)
    config = _check_shared(root, shared)
    reference_of(config, shared, root / CONFIG).check(delta, record.channels)
    folder = root / TASKS / check_name(name)
    if not (folder / TASK).exists():
        raise BundleError(folder, "no such task", "a task to replace", "none", "Check the name, or use add_task.")
    _check_unneeded(root, name)
    before = read_task(root, name, config.backbone)
    content = encode_delta(delta)
    columns = _columns(root, delta, config)
    task = TaskFile(
        record=record, order=before.order, backbone=config.backbone, delta=sha256_of(content), columns=columns
    )
    data = task.to_bytes(folder / TASK)
    write_file(folder / delta_name(task.delta), content)
    write_file(folder / TASK, data)  # from here on the new task is in effect
    for unnamed in folder.glob(delta_name("*")):
        if unnamed.name != delta_name(task.delta):
            unnamed.unlink()
    renew_card(root)


def remove_task(path: str | Path, name: str) -> None:
    """Remove a task from a bundle; the others keep their outputs bit for bit. A damaged task can be removed too.

    Raises:
        BundleError: If there is no bundle, no such task, or another task runs through its column.
    """
    root = Path(path)
    read_config(root)
    folder = root / TASKS / check_name(name)
    if folder.resolve() != root.resolve() / TASKS / name:
        raise BundleError(folder, "a link", "a task's folder", f"a link to {folder.resolve()}", "Delete the link.")
    if not folder.is_dir():
        raise BundleError(folder, "no such task", "a task's folder", "none", "Check the name.")
    _check_unneeded(root, name)
    remove_folder(folder)
    renew_card(root)


def check_free_name(root: Path, name: str) -> None:
    """Refuse a task name that is invalid or taken.

    Raises:
        BundleError: If the name is invalid or taken.
    """
    folder = root / TASKS / check_name(name)
    if folder.parent.is_symlink():
        got = f"a link to {folder.parent.resolve()}"
        raise BundleError(folder.parent, "a link", "a folder", got, "Replace the link by the folder.")
    if folder.exists() or folder.is_symlink():
        got = "a task of that name" if (folder / TASK).exists() else f"a folder without {TASK}, which is no task"
        raise BundleError(folder, "the name is taken", "a free name", got, "Remove it first, or use another name.")


def write_new(root: Path, name: str, task: TaskFile, content: bytes) -> None:
    """Write a new task's folder, atomically.

    Raises:
        BundleError: If the name was taken since it was checked.
    """
    write_new_files(root, name, task_files(root / TASKS / name, task, content))


def write_new_files(root: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write a new task's folder, atomically, given its files by name.

    Raises:
        BundleError: If the name was taken since it was checked.
    """
    folder = root / TASKS / name
    if not folder.parent.exists():
        folder.parent.mkdir(exist_ok=True)
        sync_folder(root)
    try:
        write_folder(folder, files)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        remedy = "Remove it first, or use another name."
        raise BundleError(folder, "the name was taken meanwhile", "a free name", "a folder", remedy) from error


def task_files(folder: Path, task: TaskFile, content: bytes) -> dict[str, bytes]:
    """Return a task's files by name; `content` is its encoded delta.

    Raises:
        BundleError: If the record cannot be written.
    """
    return {delta_name(task.delta): content, TASK: task.to_bytes(folder / TASK)}


def renew_card(root: Path) -> None:
    """Rewrite ``README.md``; a failure is only logged."""
    try:
        write_card(root)
    except BundleError as error:  # another task is damaged; no program reads the page
        logger.warning("README.md of the bundle was not updated: %s", error)


def _columns(root: Path, delta: TaskDelta, config: BundleConfig) -> dict[str, str]:
    """Return the tasks whose columns a task runs through, with the hashes of their deltas in this bundle."""
    return {name: read_task(root, name, config.backbone).delta for name in delta.needs}


def _check_unneeded(root: Path, name: str) -> None:
    found = needing(root, name)
    if found:
        what, got = "other tasks run through its column", ", ".join(found)
        raise BundleError(root / TASKS / name, what, "a task that no other needs", got, "Remove those first.")


def _check_shared(root: Path, shared: Mapping[str, Array]) -> BundleConfig:
    config = read_config(root)
    actual = _hash_of(shared, config)
    if actual != config.backbone:
        raise BundleError(
            root / BACKBONE,
            "not the backbone that this task was learned over",
            f"a task learned over {config.backbone}",
            f"one learned over {actual}",
            "A method that moves the shared weights needs a bundle of its own: save the network to another folder.",
        )
    return config


def _hash_of(shared: Mapping[str, Array], config: BundleConfig) -> str:
    try:
        return sha256_of(encode_backbone(shared, config.stored))
    except ValueError:
        return f"weights that are not rounded to {config.stored}"
