"""A bundle's task files: names are listed at once, and each file is read at its first use."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stencilnet.bundle.disk import peek, read_file
from stencilnet.bundle.format import JSON_LIMIT, TASK, TASKS, BundleError, MissingError, RemovedError, check_name
from stencilnet.bundle.record import TaskRecord
from stencilnet.bundle.schema import TaskFile

_AGAIN = "Load the bundle again."

_LAYOUT = b'{\n  "'
_PLACE = re.compile(rb'\n  "order": ([0-9]{1,9}),?\n')
"""A task's place in the order of learning, as `seal` formats the file; nested lines are indented further."""


class TaskFiles(Mapping[str, TaskFile]):
    """The task files of a bundle by name, in the order of learning; each is read and checked at its first use, once.

    The names are those in the folder at construction. The order needs every file: the first iteration reads and checks
    all of them, but keeps only their places.

    Args:
        root: The bundle's folder.
        backbone: Hash of the backbone over which all tasks must be learned.

    Raises:
        BundleError: If a folder's name is not a task's.
    """

    def __init__(self, root: Path, backbone: str) -> None:
        self.root = root.resolve()
        self._backbone = backbone
        self._names = frozenset(task_names(self.root))
        self._read: dict[str, TaskFile] = {}
        self._places: dict[str, int] = {}

    def __getitem__(self, name: str) -> TaskFile:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            task = self.read(name)
            place = self._places.get(name, task.order)
            if task.order != place:
                file = self.root / TASKS / name / TASK
                was, is_ = f"one with `order` {place}", f"{task.order}"
                raise BundleError(file, "another task took this name since it was listed", was, is_, _AGAIN)
            self._read[name] = task
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        if len(self._places) < len(self._names):
            places = {name: (self._read.get(name) or self.read(name)).order for name in sorted(self._names)}
            self._places = dict(sorted(places.items(), key=lambda item: (item[1], item[0])))
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names  # Mapping's own would read the file

    def read(self, name: str) -> TaskFile:
        """Return a task's file in its current state.

        Raises:
            RemovedError: If it was removed.
            BundleError: If it is damaged, or belongs to another backbone.
        """
        try:
            return read_task(self.root, name, self._backbone)
        except MissingError as error:
            if os.path.lexists(error.file):  # a link that leads nowhere
                raise
            what = "the task was removed since the bundle was opened"
            raise RemovedError(error.file, what, "the task's file", "none", _AGAIN) from error


class LazyRecords(Mapping[str, TaskRecord]):
    """The records of a bundle by task name, read as lazily as its task files."""

    def __init__(self, files: TaskFiles) -> None:
        self._files = files

    def __getitem__(self, name: str) -> TaskRecord:
        return self._files[name].record

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files


def task_names(path: str | Path) -> list[str]:
    """Return the sorted names of a bundle's tasks: the folders with a ``task.json``, except hidden ones.

    No file is read, so a listed task may still be damaged.

    Raises:
        BundleError: If a folder's name is not a valid task name.
    """
    return list(each_name(path))


def each_name(path: str | Path) -> Iterator[str]:
    """Yield the names of `task_names` one by one, so that taking a few of thousands looks into few folders."""
    folder = os.path.join(path, TASKS)
    found = os.listdir(folder) if os.path.isdir(folder) else []
    for name in sorted(name for name in found if not name.startswith(".")):
        if os.path.lexists(os.path.join(folder, name, TASK)):
            yield check_name(name)


def next_place(root: Path) -> int:
    """Return the next free place in the order of learning, after all tasks of a bundle.

    The files are searched but not checked, so that a damaged task does not prevent adding others; a task whose place
    cannot be read is ignored.

    Raises:
        BundleError: If a folder's name is not a task's.
    """
    return 1 + max((_place(root, name) for name in task_names(root)), default=-1)


def needing(root: Path, name: str) -> list[str]:
    """Return the sorted names of a bundle's tasks that run through a task's column; damaged tasks are ignored.

    Raises:
        BundleError: If a folder's name is not a task's.
    """
    found = []
    for other in task_names(root):
        file = os.path.join(root, TASKS, other, TASK)
        data = peek(file, JSON_LIMIT)
        if b'"columns"' in data and f'"{name}"'.encode() in data:  # otherwise it need not be parsed
            try:
                found += [other] if name in parse_task(data, Path(file), None).columns else []
            except BundleError:
                continue
    return found


def read_task(root: Path, name: str, backbone: str | None) -> TaskFile:
    """Return one task's file; `backbone` is the hash of the backbone it must be learned over, or None for any.

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
            "Put it into a bundle with its own backbone, or learn it again here.",
        )
    return task


def delta_hash(root: Path, name: str) -> str | None:
    """Return the SHA-256 of a task's delta, or None if there is no such task.

    Raises:
        BundleError: If its record is damaged.
    """
    return read_task(root, name, None).delta if os.path.lexists(root / TASKS / name / TASK) else None


def read_tasks(root: Path, backbone: str) -> dict[str, TaskFile]:
    """Return all task files by name, in the order of learning, without reading a tensor.

    Raises:
        BundleError: If a task is damaged, or was learned over another backbone.
    """
    tasks = {name: read_task(root, name, backbone) for name in task_names(root)}
    return dict(sorted(tasks.items(), key=lambda item: (item[1].order, item[0])))


def _place(root: Path, name: str) -> int:
    """Return a task's place, or -1 if it cannot be read."""
    file = os.path.join(root, TASKS, name, TASK)
    data = peek(file, JSON_LIMIT)
    found = _PLACE.search(data)
    if found and data.startswith(_LAYOUT):
        return int(found[1])
    try:
        return parse_task(data, Path(file), None).order  # formatted in another way
    except BundleError:
        return -1
