"""Trains further tasks into an existing bundle."""

import shutil
from dataclasses import replace
from pathlib import Path

from stencilnet.bundle import add_task, load
from stencilnet.config.classes import with_classes
from stencilnet.config.schema import Experiment
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.session import Session, learning
from stencilnet.learning.counting import check_all
from stencilnet.learning.learn import Splits, learn_task
from stencilnet.learning.opening import open_data
from stencilnet.learning.styles import bind_style, perceptual_network
from stencilnet.methods import JointMethod
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.task import Task


def add_tasks(bundle: Path, experiment: Experiment, session: Session) -> tuple[str, ...]:
    """Learn a config's tasks that a bundle does not have, by the config's first method; each is added as it ends.

    Args:
        bundle: The bundle; its own tasks stay as they are, bit for bit.
        experiment: The config; its backbone does not matter here.
        session: Its `out` is where checkpoints and curves go.

    Returns:
        Names of the tasks that were added.

    Raises:
        RunError: If the method would move the shared weights, or the bundle has no task to build on.
        DataError: If there is nothing to learn or to measure in a task's data; nothing has been trained then.
    """
    experiment = with_classes(experiment, session.root)
    method, label = experiment.methods[0].method, experiment.methods[0].name
    if method.moves_shared:
        raise RunError(
            f"{method.name} moves the shared weights, which would change the tasks that {bundle} holds. "
            "Add by a method that leaves them alone (piggyback, decoder, scratch), or train a bundle of its own."
        )
    if isinstance(method, JointMethod):
        raise RunError(
            f"{method.name} learns all tasks at once, from the start, so that nothing can be added to {bundle} by it. "
            "Add by another method (piggyback, decoder, scratch), or train a bundle of its own."
        )
    if not load(bundle).tasks:  # every record is read and checked for it, before anything is trained
        raise RunError(f"{bundle} holds no task, so its backbone may be untrained. Use `stencil train`.")
    wanted = []
    for plan in experiment.tasks:
        if session.only and plan.name not in session.only:
            continue
        if plan.name in load(bundle).deltas:
            session.announce(f"{plan.name}: the bundle has a task of this name; it is left as it is")
            continue
        wanted.append(plan)
    opened = {plan.name: open_data(plan, session.root) for plan in wanted}
    check_all(wanted, opened.__getitem__, session.announce)
    added = []
    for plan in wanted:
        session.announce(f"{label}: {plan.name}")
        net, data = load(bundle), opened[plan.name]
        task: Task = plan.task
        if isinstance(task, PerceptualTask):
            images = open_data(experiment.tasks[0], session.root).train  # as `stencil evaluate` will, for one network
            network = perceptual_network(experiment.perceptual, net.backbone, images, [task], session.root)
            task = bind_style(task, network, session.root)
        config = replace(learning(experiment, plan, session, session.out / label / plan.name), label=label)
        splits = Splits(train=data.train, validation=data.validation)
        net = learn_task(net, task, splits, name=plan.name, method=method, config=config)
        add_task(bundle, plan.name, net.records[plan.name], net.deltas[plan.name], shared=net.state.shared)
        shutil.rmtree(session.out / label / plan.name)  # nothing to resume, and the name may come again
        added.append(plan.name)
    return tuple(added)
