"""The order of learning (the paper, Sec. 4.1): the state from which each task's training starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BACKBONE = "backbone"
"""Method name of the first task, which trains the backbone once for all methods."""

TRIVIAL = "trivial"
"""Method name of trivial baselines, which learn nothing and have no state."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training of the sequence, followed by one test of every task that its state holds.

    Attributes:
        method: Name of the method; `BACKBONE` for the first task.
        task: Name of the task that is learned.
        index: The task's position in the sequence, from 0.
        parent: The task from whose state this stage starts; None for the first stage. A method that retrains the first
            task starts from the first stage.
        moves_shared: Whether the training may change the shared weights.
    """

    method: str
    task: str
    index: int
    parent: str | None
    moves_shared: bool


def plan(
    tasks: Sequence[str],
    method: str,
    moves_shared: bool,
    parents: Mapping[str, str] | None = None,
    retrains: bool = False,
) -> tuple[Stage, ...]:
    """Lay out the stages of one method.

    A method that moves the shared weights learns in a chain: each task starts from the state after its predecessor, or
    after the task that `parents` names (the paper's fine-tuning learns Task 5 from Task 3's state; Task 6 then starts
    from Task 5's). For other methods every task starts from the first task's frozen weights, in one growing bundle.
    The first stage is the same for all methods; a method that retrains the first task adds a stage of its own for it,
    from which its other tasks start.

    Args:
        tasks: Names of the tasks in the order of learning; the first trains the backbone.
        method: Name of the method.
        moves_shared: Whether the method may change the shared weights.
        parents: By task, the earlier task from whose state it starts instead; none by default.
        retrains: Whether the method retrains the first task. Default: false.

    Raises:
        ValueError: If there is no task or one occurs twice, or `parents` names an unknown task, a task that is not
            earlier, or any task for a method that does not move the shared weights.
    """
    parents = parents or {}
    _check(tasks, method, moves_shared, parents)
    stages = [Stage(method=BACKBONE, task=tasks[0], index=0, parent=None, moves_shared=True)]
    if retrains:
        stages.append(Stage(method=method, task=tasks[0], index=0, parent=tasks[0], moves_shared=True))
    for index, task in enumerate(tasks[1:], start=1):
        parent = parents.get(task, tasks[index - 1]) if moves_shared else tasks[0]
        stages.append(Stage(method=method, task=task, index=index, parent=parent, moves_shared=moves_shared))
    return tuple(stages)


def plan_joint(tasks: Sequence[str], method: str) -> tuple[Stage, ...]:
    """Lay out the stages of a method that learns all tasks at once: one per task, none of which starts from another.

    Args:
        tasks: Names of the tasks in order.
        method: Name of the method.
    """
    return tuple(
        Stage(method=method, task=task, index=index, parent=None, moves_shared=False)
        for index, task in enumerate(tasks)
    )


def _check(tasks: Sequence[str], method: str, moves_shared: bool, parents: Mapping[str, str]) -> None:
    if not tasks or len(set(tasks)) != len(tasks):
        raise ValueError(f"Expected argument `tasks` to be different names, at least one, but got {list(tasks)}.")
    if parents and not moves_shared:
        raise ValueError(
            f"Expected no `parents` for {method}, which does not move the shared weights, but got {dict(parents)}. "
            "Leave it out: each of its tasks starts from the first task's weights."
        )
    order = {task: index for index, task in enumerate(tasks)}
    for child, parent in parents.items():
        if child not in order or parent not in order:
            raise ValueError(f"Expected `parents` to name tasks of {', '.join(tasks)}, but got {child}: {parent}.")
        if order[parent] >= order[child]:
            raise ValueError(
                f"Expected the parent of {child} in {method} to be learned before it, but got {parent}. "
                f"The order is {', '.join(tasks)}."
            )
