"""Opens a task's data: sources, the held-out part, photos without colour left out."""

import logging
from dataclasses import dataclass
from pathlib import Path

from stencilnet.data.folders import Examples
from stencilnet.data.sources import split
from stencilnet.experiment.config import TaskPlan
from stencilnet.tasks.colorization import is_gray

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskData:
    """A task's examples, opened.

    Attributes:
        train: To learn from.
        validation: To select by.
        test: To report on, once.
    """

    train: Examples
    validation: Examples
    test: Examples


def open_data(plan: TaskPlan, root: Path) -> TaskData:
    """Open a task's data under a root folder.

    Raises:
        ValueError: If a folder is missing, empty or does not match, or nothing is left of it.
    """
    train = plan.data.train.open(root)
    if plan.data.validation is None:
        train, validation = split(train, plan.data.holdout)
    else:
        validation = plan.data.validation.open(root)
    opened = {"train": train, "validation": validation, "test": plan.data.test.open(root)}
    if plan.data.drop_gray:
        opened = {part: _without_gray(found, f"{plan.name} {part}") for part, found in opened.items()}
    return TaskData(**opened)


def _without_gray(examples: Examples, label: str) -> Examples:
    kept = [position for position in range(len(examples)) if not is_gray(examples[position])]
    if not kept:
        raise ValueError(f"{label}: expected colour photos, but all {len(examples)} are gray. Colouring needs colour.")
    if len(kept) < len(examples):
        logger.info("%s: %d of %d photos are gray and left out", label, len(examples) - len(kept), len(examples))
    return examples.take(kept)
