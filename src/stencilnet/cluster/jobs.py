"""Splits a run into jobs that can run independently."""

from collections.abc import Sequence
from dataclasses import dataclass

from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.experiment.walking import is_chain


@dataclass(frozen=True, kw_only=True)
class FanJob:
    """A part of a run, for one machine.

    Attributes:
        name: Name in messages: ``backbone``, ``piggyback/gogh``, or a method's name if its tasks form a chain.
        method: Name of the method.
        tasks: Names of the tasks to learn, in order; for the backbone, the first task's alone.
    """

    name: str
    method: str
    tasks: tuple[str, ...]


def jobs(experiment: Experiment, methods: Sequence[str] = (), only: Sequence[str] = ()) -> tuple[FanJob, ...]:
    """Split a run into jobs. The first trains the backbone; all others start from it, in any order.

    A method whose tasks are independent gives one job per task. A method that moves the shared weights, builds on
    other tasks than the first (progressive columns, warm starts), or trains jointly gives one job for all.

    Args:
        experiment: The config.
        methods: Names of the methods to learn by; empty for all.
        only: Names of the tasks to learn after the first; empty for all.
    """
    chosen = [plan for plan in experiment.methods if not methods or plan.name in methods]
    first = experiment.tasks[0].name
    backbone = FanJob(name=BACKBONE, method=chosen[0].name, tasks=(first,))
    return (backbone, *(job for plan in chosen for job in _of_method(experiment, plan, only)))


def _of_method(experiment: Experiment, plan: MethodPlan, only: Sequence[str]) -> list[FanJob]:
    name = plan.name
    tasks = tuple(task for task in experiment.learned_by(plan) if not only or task in only)
    if is_chain(experiment, plan):
        return [FanJob(name=name, method=name, tasks=tasks)] if tasks else []
    return [FanJob(name=f"{name}/{task}", method=name, tasks=(task,)) for task in tasks]
