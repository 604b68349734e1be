"""Reads a bundle's config, records and sizes, without reading a tensor."""

from pathlib import Path
from typing import TypedDict

from stencilnet.bundle.disk import inside, read_file
from stencilnet.bundle.format import BACKBONE, CONFIG, JSON_LIMIT, TASK, TASKS, BundleError, MissingError, delta_name
from stencilnet.bundle.record import TaskRecord
from stencilnet.bundle.records import read_tasks
from stencilnet.bundle.schema import BundleConfig, TaskFile


class TaskSizes(TypedDict):
    """Bytes of a task's files on disk."""

    delta: int
    record: int


class BundleSizes(TypedDict):
    """Bytes of a bundle's files on disk: ``model.safetensors``, and every task's by name, in the order of learning."""

    backbone: int
    tasks: dict[str, TaskSizes]


def read_config(path: str | Path) -> BundleConfig:
    """Return the content of ``config.json``.

    Raises:
        BundleError: If there is no bundle, or the file is damaged.
    """
    file = Path(path) / CONFIG
    try:
        return BundleConfig.from_bytes(read_file(Path(path), file, JSON_LIMIT), file)
    except MissingError as error:
        got = "a folder without one" if Path(path).is_dir() else "no such folder"
        raise BundleError(path, "not a bundle", f"a folder with {CONFIG}", got, "Check the path.") from error


def read_records(path: str | Path) -> dict[str, TaskRecord]:
    """Return every task's record by name, in the order of learning.

    Raises:
        BundleError: If there is no bundle, or a record is damaged or belongs to another backbone.
    """
    return {name: task.record for name, task in read_tasks(Path(path), read_config(path).backbone).items()}


def sizes(path: str | Path) -> BundleSizes:
    """Return the measured bytes of the bundle's files.

    Raises:
        BundleError: If there is no bundle, a file is missing, or its config or a record is damaged.
    """
    root = Path(path)
    tasks = read_tasks(root, read_config(root).backbone)
    return {
        "backbone": size_of(root, root / BACKBONE),
        "tasks": {name: task_sizes(root, name, task) for name, task in tasks.items()},
    }


def task_sizes(root: Path, name: str, task: TaskFile) -> TaskSizes:
    """Return the measured bytes of one task's files.

    Raises:
        BundleError: If a file is missing.
    """
    folder = root / TASKS / name
    return {"delta": size_of(root, folder / delta_name(task.delta)), "record": size_of(root, folder / TASK)}


def size_of(root: Path, file: Path) -> int:
    """Return the bytes of a file of the bundle.

    Raises:
        BundleError: If it is missing or not a regular file.
    """
    inside(root, file)
    return file.stat().st_size
