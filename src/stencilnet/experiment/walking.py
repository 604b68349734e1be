"""Turns a config into plain steps in order: `run` carries them out, `forecast` estimates their cost."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar

from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.evaluation.protocol import BACKBONE, Stage, plan, plan_joint
from stencilnet.methods import AnyMethod, JointMethod, Method


@dataclass(frozen=True, kw_only=True)
class First:
    """Train the backbone on the first task, once for all methods.

    Attributes:
        stage: Its stage.
        method: The config's first method.
    """

    stage: Stage
    method: AnyMethod
    asked: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Remember:
    """Let a method store memory after the first task; weights and results do not change.

    Attributes:
        stage: The method and the first task.
        method: The method.
        asked: Whether a requested step starts from it.
    """

    stage: Stage
    method: Method
    asked: bool


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """Let a method train the first task again; its other tasks start from the result.

    Attributes:
        stage: Its stage.
        method: The method.
    """

    stage: Stage
    method: Method
    asked: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Learn:
    """Learn a task after the first.

    Attributes:
        stage: Its stage.
        method: The method.
        start: The stage whose state it starts from.
        needs: Further tasks that this state must hold; they are in the method's growing bundle.
        asked: Whether the step itself is requested. If not, a later step may start from it.
    """

    stage: Stage
    method: Method
    start: Stage
    needs: tuple[str, ...]
    asked: bool


@dataclass(frozen=True, kw_only=True)
class LearnTogether:
    """Learn all tasks of a method jointly, unless an earlier step has done so, and test one of them.

    Attributes:
        stage: The method and the task to test.
        method: The method.
        tasks: Names of all tasks, in order.
    """

    stage: Stage
    method: JointMethod
    tasks: tuple[str, ...]
    asked: ClassVar[bool] = True


Step = First | Remember | Retrain | Learn | LearnTogether
"""`asked` tells whether a step itself is requested; the others are there since later steps may start from them."""


def walk(experiment: Experiment, methods: Collection[str], only: Collection[str] = ()) -> Iterator[Step]:
    """Yield the steps of a config, each after those that it starts from.

    A method has no steps if none of its tasks after the first is requested.

    Args:
        experiment: The config.
        methods: Names of the methods to learn by; the step `First` is yielded in any case.
        only: Names of the tasks to learn after the first; empty for all.
    """
    first = experiment.tasks[0].name
    stage = Stage(method=BACKBONE, task=first, index=0, parent=None, moves_shared=True)
    yield First(stage=stage, method=experiment.methods[0].method)
    for chosen in experiment.methods:
        names = experiment.learned_by(chosen)
        asked = {name for name in names if not only or name in only}
        if chosen.name not in methods or not asked:
            continue
        if isinstance(chosen.method, JointMethod):
            yield from _together(chosen.name, chosen.method, (first, *names), asked)
        else:
            yield from _one_by_one(chosen, chosen.method, (first, *names), asked)


def is_chain(experiment: Experiment, chosen: MethodPlan) -> bool:
    """Return whether a method's tasks depend on each other, so that one process must learn them in order."""
    return any(
        isinstance(step, LearnTogether) or (isinstance(step, Learn) and (step.stage.moves_shared or step.needs))
        for step in walk(experiment, [chosen.name])
    )


def _together(
    name: str, method: JointMethod, tasks: tuple[str, ...], asked: Collection[str]
) -> Iterator[LearnTogether]:
    for stage in plan_joint(tasks, name):
        if stage.index == 0 or stage.task in asked:
            yield LearnTogether(stage=stage, method=method, tasks=tasks)


def _one_by_one(
    chosen: MethodPlan, method: Method, tasks: tuple[str, ...], asked: Collection[str]
) -> Iterator[Remember | Retrain | Learn]:
    first, *stages = plan(
        tasks, chosen.name, method.moves_shared, chosen.parents, retrains=method.after_first == "retrain"
    )
    reached = {first.task: first}
    if method.after_first == "remember":
        starting = {stage.task for stage in stages if stage.parent == first.task}
        stage = Stage(method=chosen.name, task=first.task, index=0, parent=first.task, moves_shared=True)
        yield Remember(stage=stage, method=method, asked=not starting.isdisjoint(asked))
    for stage in stages:
        if stage.task == first.task:
            yield Retrain(stage=stage, method=method)
        else:
            yield Learn(
                stage=stage,
                method=method,
                start=reached[stage.parent or first.task],
                needs=method.prerequisites(stage.task, tasks[1 : tasks.index(stage.task)]),
                asked=stage.task in asked,
            )
        if method.moves_shared:
            reached[stage.task] = stage
