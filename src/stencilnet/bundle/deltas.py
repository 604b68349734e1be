"""The deltas of a bundle; each file is read at its first use."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import TASK, TASKS, BundleError, MissingError, delta_name, restore, sha256_of
from stencilnet.bundle.records import TaskFiles
from stencilnet.bundle.schema import TaskFile
from stencilnet.bundle.tensors import decode_delta
from stencilnet.delta import DeltaError, Spec, TaskDelta


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The weights that a task's delta must fit in names, shapes and dtypes.

    Attributes:
        shared: Specs of the backbone without its head, by state-dict key.
        head: Specs of a head with any number of output channels.
    """

    shared: Mapping[str, Spec]
    head: Mapping[str, Spec]

    def check(self, delta: TaskDelta, channels: int) -> None:
        """Refuse a delta that does not fit.

        Raises:
            DeltaError: If a key, shape or type does not fit the backbone, or the head has other output channels.
        """
        delta.check(self.shared, self.head)
        for name in self.head:
            if delta.entries[name].shape[0] != channels:
                got = f"but got {delta.entries[name].shape}"
                raise DeltaError(f"Expected `{name}` to have the {channels} output channels of the record, {got}.")


class LazyDeltas(Mapping[str, TaskDelta]):
    """The deltas of a bundle by task name, in the order of learning; each is read, and its hash checked, once.

    Args:
        files: The bundle's task files.
        reference: What every delta must fit.
    """

    def __init__(self, files: TaskFiles, reference: Reference) -> None:
        self._files = files
        self._reference = reference
        self._read: dict[str, TaskDelta] = {}

    def __getitem__(self, name: str) -> TaskDelta:
        if name not in self._read:
            root, task = self._files.root, self._files[name]
            try:
                self._read[name] = read_delta(root, name, task, self._reference)
            except MissingError:  # the task was replaced after its record was read here
                self._read[name] = read_delta(root, name, self._replaced(name, task), self._reference)
            check_columns(task, root / TASKS / name / TASK, self._hash)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files  # Mapping's own would read the file

    def _hash(self, name: str) -> str | None:
        return self._files[name].delta if name in self._files else None

    def _replaced(self, name: str, before: TaskFile) -> TaskFile:
        now = self._files.read(name)
        was, is_ = (f"{r.kind}, {r.channels} channels, {dict(r.settings)}" for r in (before.record, now.record))
        if was != is_:
            file = self._files.root / TASKS / name / TASK
            what = "another task took this name since the bundle was opened"
            raise BundleError(file, what, was, is_, "Load the bundle again.")
        return now


def read_delta(root: Path, name: str, task: TaskFile, reference: Reference | None) -> TaskDelta:
    """Return a task's delta after checking it against the recorded hash and, if not None, the reference.

    Raises:
        MissingError: If the file is missing.
        BundleError: If it is damaged, or does not fit.
    """
    file = root / TASKS / name / delta_name(task.delta)
    return parse_delta(read_file(root, file), file, task, reference)


def parse_delta(data: bytes, file: Path, task: TaskFile, reference: Reference | None) -> TaskDelta:
    """Return a task's delta, given the bytes of its file, after the checks of `read_delta`.

    Raises:
        BundleError: If it is damaged, or does not fit.
    """
    actual = sha256_of(data)
    if actual != task.delta:
        raise BundleError(file, "changed since it was written", f"SHA-256 {task.delta}", actual, restore(file))
    delta = decode_delta(data, file, task.needs)
    if set(delta.needs) != set(task.columns):
        expected, got = (f"adapters from the columns of {sorted(names)}" for names in (task.columns, delta.needs))
        raise BundleError(file, "other adapters than the record says", expected, got, restore(file))
    try:
        if reference is not None:
            reference.check(delta, task.record.channels)
    except DeltaError as error:
        expected = "a delta that was learned over it"
        what = "the delta does not fit the backbone"
        raise BundleError(file, what, expected, f"this: {error}", restore(file)) from error
    return delta


def check_columns(task: TaskFile, file: Path, hash_of: Callable[[str], str | None]) -> None:
    """Refuse a task that runs through columns that are missing or have changed since it was learned.

    Args:
        task: The task.
        file: Its ``task.json``.
        hash_of: Returns the SHA-256 of another task's delta, or None if there is no such task.

    Raises:
        BundleError: If a column is missing or has changed.
    """
    for name, sha256 in task.columns.items():
        got = hash_of(name)
        if got != sha256:
            what = f"it runs through the column of the task `{name}`, which is missing or has changed"
            remedy = f"Install that `{name}` too, or remove this task."
            raise BundleError(file, what, f"the delta {sha256}", got or "no such task", remedy)
