"""The classes of classification tasks: read from class folders, or checked against them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stencilnet.config.schema import Experiment, TaskPlan, sources
from stencilnet.data.classes import ClassFoldersSource, check_classes
from stencilnet.tasks.task import LabelTask


def with_classes(experiment: Experiment, root: Path) -> Experiment:
    """Return a config whose label tasks all name their classes; those without get their training folders' names.

    Args:
        experiment: The config.
        root: Root folder of its data.

    Raises:
        FolderError: If the folders cannot be read, or differ from the named classes.
    """
    return replace(experiment, tasks=tuple(_named(plan, root) for plan in experiment.tasks))


def class_problems(plan: TaskPlan, root: Path) -> Iterator[tuple[str, str]]:
    """Yield, as (config path below the task, message), where class folders differ from the task's classes.

    Folders that cannot be read are skipped: opening the data reports them.
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
    """Check that a task's class folders are its classes.

    Raises:
        ValueError: If any differ; the message lists all of them.
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
