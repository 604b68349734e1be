"""What a bundle says about itself, read without touching a tensor."""

from pathlib import Path
from typing import TypedDict

from stencilnet.bundle.deltas import read_tasks
from stencilnet.bundle.disk import inside, read_file
from stencilnet.bundle.format import BACKBONE, CONFIG, JSON_LIMIT, TASK, TASKS, BundleError, MissingError, delta_name
from stencilnet.bundle.schema import BundleConfig
from stencilnet.models import TaskRecord


class TaskSizes(TypedDict):
    """Bytes of a task's files on disk."""

    delta: int
    record: int


class Sizes(TypedDict):
    """Bytes of a bundle's files on disk: ``model.safetensors``, and every task's by name, in the order of learning."""

    backbone: int
    tasks: dict[str, TaskSizes]


def read_config(path: str | Path) -> BundleConfig:
    """Return what ``config.json`` says.

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
        BundleError: If there is no bundle, or a record is damaged or of another backbone.
    """
    return {name: task.record for name, task in read_tasks(Path(path), read_config(path).backbone).items()}


def sizes(path: str | Path) -> Sizes:
    """Return the measured bytes of the bundle's files.

    Raises:
        BundleError: If there is no bundle, or a file is missing or damaged beyond finding the others.
    """
    root = Path(path)
    tasks = read_tasks(root, read_config(root).backbone)
    return {
        "backbone": _size(root, root / BACKBONE),
        "tasks": {
            name: {
                "delta": _size(root, root / TASKS / name / delta_name(task.delta)),
                "record": _size(root, root / TASKS / name / TASK),
            }
            for name, task in tasks.items()
        },
    }


def _size(root: Path, file: Path) -> int:
    inside(root, file)
    return file.stat().st_size
