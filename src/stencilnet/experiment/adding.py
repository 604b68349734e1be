"""Trains further tasks into an existing bundle."""

import shutil
from dataclasses import replace
from pathlib import Path

from stencilnet.bundle import TaskRecord, add_task, task_names
from stencilnet.bundle.format import TASKS
from stencilnet.config.classes import with_classes
from stencilnet.config.schema import Experiment, TaskPlan
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.locking import alone
from stencilnet.experiment.session import Session, learning
from stencilnet.learning.counting import check_all
from stencilnet.learning.learn import learn_task
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.learning.styles import bind_style, perceptual_network
from stencilnet.masks import arrays_of
from stencilnet.methods import AnyMethod, JointMethod
from stencilnet.models import MultiTaskNet, load
from stencilnet.storage import check_writable
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.task import Task


def add_tasks(bundle: Path, experiment: Experiment, session: Session) -> tuple[str, ...]:
    """Learn a config's tasks that a bundle lacks, by the config's first method; add each when it is trained.

    A lock per task lets one process learn it; another that adds the same task waits and then skips it.

    Args:
        bundle: The bundle; its own tasks stay bit-equal.
        experiment: The config; its backbone is ignored.
        session: How to train; `out` is the folder of checkpoints and curves.

    Returns:
        Names of the tasks that were added.

    Raises:
        RunError: If the method would move the shared weights or learns all tasks jointly, or the bundle has no task or
            cannot be written to.
        DataError: If there is nothing to learn or to measure in a task's data. Nothing has been trained.
    """
    experiment = with_classes(experiment, session.root)
    check_bundle(bundle, experiment.methods[0].method)
    wanted = []
    for plan in experiment.tasks:
        if session.only and plan.name not in session.only:
            continue
        if _is_new(plan.name, bundle, session):
            wanted.append(plan)
    opened = {plan.name: open_data(plan, session.root) for plan in wanted}
    check_all(wanted, opened.__getitem__, session.announce)
    return tuple(
        plan.name for plan in wanted if add_opened(bundle, experiment, plan, opened[plan.name], session) is not None
    )


def check_bundle(bundle: Path, method: AnyMethod) -> MultiTaskNet:
    """Check that a method can add tasks to a bundle, and return the bundle's network.

    Raises:
        RunError: As `add_tasks`.
    """
    if method.moves_shared:
        raise RunError(
            f"{method.name} moves the shared weights, which would change the tasks in {bundle}. "
            "Add by a method that leaves them unchanged (piggyback, decoder, scratch), or train a new bundle."
        )
    if isinstance(method, JointMethod):
        raise RunError(
            f"{method.name} learns all tasks at once, from the start, and cannot add tasks to {bundle}. "
            "Add by another method (piggyback, decoder, scratch), or train a new bundle."
        )
    net = load(bundle)  # this reads and checks every record before anything is trained
    if not net.tasks:
        raise RunError(f"{bundle} has no task, so its backbone may be untrained. Use `stencil train`.")
    _check_writable(bundle)
    return net


def add_opened(
    bundle: Path, experiment: Experiment, plan: TaskPlan, data: TaskData, session: Session, task: Task | None = None
) -> TaskRecord | None:
    """Learn one task whose data have been opened and checked, and add it.

    Args:
        bundle: The bundle; `check_bundle` has accepted it.
        experiment: The config.
        plan: The task.
        data: Its data.
        session: As for `add_tasks`.
        task: The task as `bound_task` returns it; bound here if it is not given.

    Returns:
        What the bundle records of the task; None if the bundle has a task of this name by now.
    """
    session.out.mkdir(parents=True, exist_ok=True)
    with alone(session.out / f".{plan.name}.lock", session.stop, session.announce):
        if not _is_new(plan.name, bundle, session):  # another process may have added it meanwhile
            return None
        method, label = experiment.methods[0].method, experiment.methods[0].name
        session.announce(f"{label}: {plan.name}")
        net = load(bundle)
        folder = session.out / label / plan.name
        net = learn_task(
            net,
            task or bound_task(experiment, plan, net, session.root),
            data,
            name=plan.name,
            method=method,
            config=replace(learning(experiment, plan, session, folder), label=label),
        )
        record = net.records[plan.name]
        add_task(bundle, plan.name, record, net.deltas[plan.name], shared=arrays_of(net.state.shared))
        shutil.rmtree(folder)  # there is nothing left to resume, and the name may be used again
        return record


def bound_task(experiment: Experiment, plan: TaskPlan, net: MultiTaskNet, root: Path) -> Task:
    """Return a config's task; a style task is bound to its painting and to the perceptual network of its losses."""
    task: Task = plan.task
    if not isinstance(task, PerceptualTask):
        return task
    # The same images as in `stencil evaluate`, for the same network.
    images = open_data(experiment.tasks[0], root).train
    return bind_style(task, perceptual_network(experiment.perceptual, net.backbone, images, [task], root), root)


def _is_new(name: str, bundle: Path, session: Session) -> bool:
    if name not in task_names(bundle):
        return True
    session.announce(f"{name}: skipped, since the bundle has a task of this name")
    return False


def _check_writable(bundle: Path) -> None:
    for folder in (bundle, bundle / TASKS):
        try:
            check_writable(folder)
        except OSError as error:
            raise RunError(
                f"Cannot write to {folder}: {error.strerror}. Nothing was trained. Change its permissions or free disk "
                "space, or copy the bundle to a folder that can be written to."
            ) from error
