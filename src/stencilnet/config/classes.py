"""Tasks that give labels, and their class folders: the one names the other, and both must agree."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stencilnet.config.schema import Experiment, TaskPlan, sources
from stencilnet.data.classes import ClassFoldersSource, check_classes
from stencilnet.tasks.task import LabelTask


def with_classes(experiment: Experiment, root: Path) -> Experiment:
    """Return a config whose label tasks name their classes: those that do not get their training folders'.

    Args:
        experiment: The config.
        root: Where its data are.

    Raises:
        FolderError: If the folders cannot be read, or differ from the named classes.
    """
    return replace(experiment, tasks=tuple(_named(plan, root) for plan in experiment.tasks))


def class_problems(plan: TaskPlan, root: Path) -> Iterator[tuple[str, str]]:
    """Say, by config path below the task, which class folders are not the task's classes.

    A folder that cannot be opened at all is not told: opening it tells.
    """
    found = {}
    for key, source in sources(plan).items():
        if isinstance(plan.task, LabelTask) and isinstance(source, ClassFoldersSource):
            try:
                found[key] = source.classes(root)
            except ValueError:
                continue
            named = plan.task.classes or found.get("train", found[key])
            try:
                check_classes(found[key], named, root / source.folder)
            except ValueError as error:
                yield f"data.{key}", str(error)


def check_class_folders(plan: TaskPlan, root: Path) -> None:
    """Refuse data whose class folders are not the task's classes.

    Raises:
        ValueError: If any are not; all of them are named.
    """
    problems = [f"{key}: {message}" for key, message in class_problems(plan, root)]
    if problems:
        raise ValueError(f"{plan.name}: " + "; ".join(problems))


def _named(plan: TaskPlan, root: Path) -> TaskPlan:
    if not isinstance(plan.task, LabelTask) or plan.task.classes:
        return plan
    if not isinstance(plan.data.train, ClassFoldersSource):
        raise ValueError(
            f"{plan.name}: expected `classes`, or training data of kind `class_folders` whose folders name them. "
            "Name the classes."
        )
    return replace(plan, task=plan.task.with_classes(plan.data.train.classes(root)))
