"""The tasks of a bundle: records at once, a delta's file when it is first used."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import (
    JSON_LIMIT,
    TASK,
    TASKS,
    BundleError,
    MissingError,
    check_name,
    delta_name,
    restore,
    sha256_of,
)
from stencilnet.bundle.schema import TaskFile
from stencilnet.bundle.tensors import decode_delta
from stencilnet.masks import DeltaError, TaskDelta


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What a task's delta must fit. The tensors' names, shapes and types count, not their values.

    Attributes:
        shared: The backbone without its head.
        head: A head; output channels are free.
    """

    shared: Mapping[str, Tensor]
    head: Mapping[str, Tensor]

    def check(self, delta: TaskDelta, channels: int) -> None:
        """Refuse a delta that does not fit.

        Raises:
            DeltaError: If a key, shape or type does not fit the backbone, or the head has other output channels.
        """
        delta.check(self.shared, self.head)
        for name in self.head:
            if delta.entries[name].shape[0] != channels:
                got = f"but got {tuple(delta.entries[name].shape)}"
                raise DeltaError(f"Expected `{name}` to have the {channels} output channels of the record, {got}.")


class LazyDeltas(Mapping[str, TaskDelta]):
    """The deltas of a bundle by task name, in the order of learning; each is read, and its hash checked, once.

    Args:
        root: The bundle's folder.
        tasks: Its task files.
        reference: What every delta must fit.
    """

    def __init__(self, root: Path, tasks: Mapping[str, TaskFile], reference: Reference) -> None:
        self._root = root.resolve()
        self._tasks = dict(tasks)
        self._reference = reference
        self._read: dict[str, TaskDelta] = {}

    def __getitem__(self, name: str) -> TaskDelta:
        if name not in self._read:
            task = self._tasks[name]
            try:
                self._read[name] = read_delta(self._root, name, task, self._reference)
            except MissingError:  # somebody replaced the task after this reader opened the bundle
                self._read[name] = read_delta(self._root, name, self._replaced(name, task), self._reference)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._tasks  # Mapping's own would read the file

    def _replaced(self, name: str, before: TaskFile) -> TaskFile:
        now = read_task(self._root, name, before.backbone)
        was, is_ = (f"{r.kind}, {r.channels} channels, {dict(r.settings)}" for r in (before.record, now.record))
        if was != is_:
            file = self._root / TASKS / name / TASK
            what = "another task took this name since the bundle was opened"
            raise BundleError(file, what, was, is_, "Load the bundle again.")
        return now


def task_names(root: Path) -> list[str]:
    """Return the names of a bundle's tasks, sorted: the folders with a ``task.json``, bar hidden ones.

    Raises:
        BundleError: If one is not a task name.
    """
    folder = root / TASKS
    if not folder.is_dir():
        return []
    found = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    return [check_name(name) for name in sorted(found) if os.path.lexists(folder / name / TASK)]


def read_task(root: Path, name: str, backbone: str | None) -> TaskFile:
    """Return one task's file; `backbone` is the hash of the one it must be learned over, or None for any.

    Raises:
        BundleError: If it is damaged, or was learned over another backbone.
    """
    file = root / TASKS / check_name(name) / TASK
    return parse_task(read_file(root, file, JSON_LIMIT), file, backbone)


def parse_task(data: bytes, file: Path, backbone: str | None) -> TaskFile:
    """Return a task's file, given its bytes; `backbone` as for `read_task`.

    Raises:
        BundleError: If it is damaged, or was learned over another backbone.
    """
    task = TaskFile.from_bytes(data, file)
    if backbone is not None and task.backbone != backbone:
        raise BundleError(
            file,
            "another backbone's task",
            f"one learned over the backbone {backbone}",
            f"one learned over {task.backbone}",
            "Put it into a bundle with its own backbone, or learn it anew here.",
        )
    return task


def read_tasks(root: Path, backbone: str) -> dict[str, TaskFile]:
    """Return all task files by name, in the order of learning, without touching a tensor.

    Raises:
        BundleError: If one is damaged, or was learned over another backbone.
    """
    tasks = {name: read_task(root, name, backbone) for name in task_names(root)}
    return dict(sorted(tasks.items(), key=lambda item: (item[1].order, item[0])))


def read_delta(root: Path, name: str, task: TaskFile, reference: Reference | None) -> TaskDelta:
    """Return a task's delta, its content checked against the recorded hash and (if not None) the reference.

    Raises:
        MissingError: If the file is not there.
        BundleError: If it is damaged, or does not fit.
    """
    file = root / TASKS / name / delta_name(task.delta)
    return parse_delta(read_file(root, file), file, task, reference)


def parse_delta(data: bytes, file: Path, task: TaskFile, reference: Reference | None) -> TaskDelta:
    """Return a task's delta, given the bytes of its file, checked as by `read_delta`.

    Raises:
        BundleError: If it is damaged, or does not fit.
    """
    actual = sha256_of(data)
    if actual != task.delta:
        raise BundleError(file, "changed since it was written", f"SHA-256 {task.delta}", actual, restore(file))
    delta = decode_delta(data, file, task.needs)
    try:
        if reference is not None:
            reference.check(delta, task.record.channels)
    except DeltaError as error:
        expected = "one that was learned over it"
        what = "the delta does not fit the backbone"
        raise BundleError(file, what, expected, f"this: {error}", restore(file)) from error
    return delta
