"""Trains further tasks into an existing bundle."""

import shutil
from dataclasses import replace
from pathlib import Path

from stencilnet.bundle import add_task, task_names
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
from stencilnet.methods import JointMethod
from stencilnet.models import load
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
    method = experiment.methods[0].method
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
    if not load(bundle).tasks:  # this reads and checks every record before anything is trained
        raise RunError(f"{bundle} has no task, so its backbone may be untrained. Use `stencil train`.")
    _check_writable(bundle)
    wanted = []
    for plan in experiment.tasks:
        if session.only and plan.name not in session.only:
            continue
        if _is_new(plan.name, bundle, session):
            wanted.append(plan)
    opened = {plan.name: open_data(plan, session.root) for plan in wanted}
    check_all(wanted, opened.__getitem__, session.announce)
    session.out.mkdir(exist_ok=True)
    added = []
    for plan in wanted:
        with alone(session.out / f".{plan.name}.lock", session.stop, session.announce):
            if _is_new(plan.name, bundle, session):  # another process may have added it meanwhile
                _add(bundle, experiment, plan, opened[plan.name], session)
                added.append(plan.name)
    return tuple(added)


def _add(bundle: Path, experiment: Experiment, plan: TaskPlan, data: TaskData, session: Session) -> None:
    """Learn one task and add it."""
    method, label = experiment.methods[0].method, experiment.methods[0].name
    session.announce(f"{label}: {plan.name}")
    net = load(bundle)
    task: Task = plan.task
    if isinstance(task, PerceptualTask):
        # The same images as in `stencil evaluate`, for the same network.
        images = open_data(experiment.tasks[0], session.root).train
        network = perceptual_network(experiment.perceptual, net.backbone, images, [task], session.root)
        task = bind_style(task, network, session.root)
    folder = session.out / label / plan.name
    config = replace(learning(experiment, plan, session, folder), label=label)
    net = learn_task(net, task, data, name=plan.name, method=method, config=config)
    add_task(bundle, plan.name, net.records[plan.name], net.deltas[plan.name], shared=arrays_of(net.state.shared))
    shutil.rmtree(folder)  # there is nothing left to resume, and the name may be used again


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
