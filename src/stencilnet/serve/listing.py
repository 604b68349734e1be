"""What a bundle's tasks are, as the service lists them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stencilnet.bundle import read_config
from stencilnet.bundle.format import BACKBONE, TASK, TASKS
from stencilnet.bundle.reading import size_of, task_sizes
from stencilnet.bundle.records import read_task
from stencilnet.bundle.schema import TaskFile
from stencilnet.kinds.catalog import kind_from_record, traits_of
from stencilnet.kinds.kind import DrawingKind, Kind, LabelKind
from stencilnet.runtime.answering import trained_side


@dataclass(frozen=True, kw_only=True)
class ClassInfo:
    """A class of a task's answer.

    Attributes:
        name: Its name.
        colour: Its (R, G, B) in label maps, 0 to 255; None for labels.
    """

    name: str
    colour: tuple[int, int, int] | None


@dataclass(frozen=True, kw_only=True)
class AnswerInfo:
    """What a task answers.

    Attributes:
        type: A picture; a label map, which is an indexed picture; or labels of the whole picture, as JSON.
        classes: The classes in the order of their indices; empty for pictures.
    """

    type: Literal["picture", "label_map", "labels"]
    classes: list[ClassInfo]


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """A task.

    Attributes:
        name: Its name, in paths.
        title: Its name for people.
        kind: Its kind.
        category: Its kind in words.
        input: What it takes: a photo, or a photo or an edge drawing (`input=edges`).
        method: The method that learned it.
        bytes: Bytes of its files.
        scale: The shorter side of the pictures that it was learned on, which is the default scale, in pixels; None if
            it sees pictures at their own size.
        answer: What it answers.
    """

    name: str
    title: str
    kind: str
    category: str
    input: list[Literal["photo", "edges"]]
    method: str
    bytes: int
    scale: int | None
    answer: AnswerInfo


@dataclass(frozen=True, kw_only=True)
class DamagedTask:
    """A task that cannot be read.

    Attributes:
        name: Its name.
        message: Why, and the remedy.
    """

    name: str
    message: str


@dataclass(frozen=True, kw_only=True)
class TaskList:
    """A bundle's tasks.

    Attributes:
        name: The name of the bundle's folder.
        bytes: Bytes of the backbone's weights, which all tasks share.
        backbone: SHA-256 of the backbone's weights, over which every task was learned.
        architecture: The backbone's architecture.
        tasks: The tasks in the order of learning.
        damaged: Tasks that cannot be read; the others run.
        teaching: Whether the service teaches new tasks.
    """

    name: str
    bytes: int
    backbone: str
    architecture: str
    tasks: list[TaskInfo]
    damaged: list[DamagedTask]
    teaching: bool = False


def list_tasks(path: Path) -> TaskList:
    """Return a bundle's tasks; no tensor is read.

    Raises:
        BundleError: If there is no bundle.
    """
    config = read_config(path)
    found: list[tuple[int, TaskInfo]] = []
    damaged = []
    for name in _names(path):
        try:
            task = read_task(path, name, config.backbone)
            found.append((task.order, _described(path, name, task)))
        except (ValueError, OSError) as error:
            damaged.append(DamagedTask(name=name, message=str(error)))
    tasks = [task for _, task in sorted(found, key=lambda each: (each[0], each[1].name))]
    damaged.sort(key=lambda each: each.name)
    return TaskList(
        name=path.resolve().name,
        bytes=size_of(path, path / BACKBONE),
        backbone=config.backbone,
        architecture=config.architecture,
        tasks=tasks,
        damaged=damaged,
    )


def _names(path: Path) -> list[str]:
    """Return the names of all folders of tasks, also those that no task can have."""
    folder = path / TASKS
    names = os.listdir(folder) if folder.is_dir() else []
    return [name for name in names if not name.startswith(".") and os.path.lexists(folder / name / TASK)]


def _described(path: Path, name: str, task: TaskFile) -> TaskInfo:
    record, sizes = task.record, task_sizes(path, name, task)
    kind, traits = kind_from_record(record.kind, record.settings), traits_of(record.kind)
    return TaskInfo(
        name=name,
        title=name.replace("-", " ").replace("_", " ").capitalize(),
        kind=record.kind,
        category=traits.category,
        input=["photo", "edges"] if isinstance(kind, DrawingKind) else ["photo"],
        method=record.method,
        bytes=sizes["delta"] + sizes["record"],
        scale=trained_side(kind, record.recipe),
        answer=_answer(kind),
    )


def _answer(kind: Kind) -> AnswerInfo:
    if isinstance(kind, LabelKind):
        return AnswerInfo(type="labels", classes=[ClassInfo(name=name, colour=None) for name in kind.classes])
    settings: Mapping[str, Any] = kind.settings()
    classes = [
        ClassInfo(name=name, colour=(red, green, blue))
        for name, (red, green, blue) in zip(settings.get("classes", ()), settings.get("palette", ()), strict=False)
    ]
    return AnswerInfo(type="label_map" if classes else "picture", classes=classes)
