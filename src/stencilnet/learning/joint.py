"""Joint training: learns all tasks of a run at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from stencilnet.bundle import TaskRecord
from stencilnet.data.together import EvaluationTogether, TrainingTogether
from stencilnet.learning.learn import (
    Learning,
    evaluation_samples,
    selected_of,
    task_seed,
    training_samples,
)
from stencilnet.learning.opening import Splits
from stencilnet.learning.provenance import provenance
from stencilnet.masks import NetState
from stencilnet.methods import Fit, Fresh, JointMethod
from stencilnet.models import MultiTaskNet
from stencilnet.tasks.task import Recipe, Task
from stencilnet.tasks.together import Together, score
from stencilnet.training.fit import make_fit
from stencilnet.training.job import Job
from stencilnet.training.scaling import first_loss
from stencilnet.training.settings import resolve


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """One of the tasks that are learned jointly.

    Attributes:
        task: The task.
        data: Its examples.
        config: View, recipe, seed; trainer and folder are the same for all tasks.
    """

    task: Task
    data: Splits
    config: Learning

    @property
    def recipe(self) -> Recipe:
        """The recipe by which the task would be learned alone."""
        return self.config.recipe or self.task.recipe()


def learn_jointly(net: MultiTaskNet, method: JointMethod, members: Mapping[str, Member]) -> MultiTaskNet:
    """Learn tasks jointly, and return a network that has them all.

    Args:
        net: A network without tasks; it is not changed.
        method: The method.
        members: The tasks by name, in order.
    """
    config = next(iter(members.values())).config
    assert config.folder is not None, "whoever calls gives one"
    job = joint_job(net, method, members)
    trainer = replace(config.trainer, evaluate_every=job.recipe.steps)
    fit = make_fit(
        net.backbone,
        job,
        resolve(trainer, config.group),
        config.sinks,
        resume=config.resume,
        stop=config.stop,
        group=config.group,
    )
    state = joint_state(net, method, members, fit)
    selected = selected_of(config.folder)
    settings = {"method": asdict(method)} if asdict(method) else {}
    records = {
        name: TaskRecord(
            kind=member.task.kind,
            channels=member.task.channels,
            method=method.name,
            settings=member.task.settings(),
            recipe={
                **asdict(job.recipe),
                "view": asdict(member.config.view),
                **settings,
            },
            metrics={"step": selected["step"], "scores": score(selected["scores"], name)},
            provenance=provenance(
                resolve(trainer, config.group).device,
                devices=config.group.size,
                seed=config.seed,
                seconds=selected["seconds"] / len(members),
                precision=selected["precision"],
                compiled=selected["compiled"],
            ),
        )
        for name, member in members.items()
    }
    return net.with_state(state, records)


def joint_state(net: MultiTaskNet, method: JointMethod, members: Mapping[str, Member], fit: Fit) -> NetState:
    """Train all tasks jointly and return the resulting state."""
    name, first = next(iter(members.items()))
    seed = task_seed(first.config.seed, name)
    start = net.fresh_weights(seed) if first.config.backbone == "fresh" else net.state.shared
    heads = _heads(net, members)
    return method.learn_together(heads, Fresh(layout=net.layout, head=heads[name], shared=start), fit)


def joint_job(net: MultiTaskNet, method: JointMethod, members: Mapping[str, Member]) -> Job:
    """Return the training job; a batch of each task is run to scale its loss."""
    name, first = next(iter(members.items()))
    seed, folder = task_seed(first.config.seed, name), first.config.folder
    assert folder is not None, "whoever calls gives one"
    recipe = replace(first.recipe, steps=max(member.recipe.steps for member in members.values()))
    seeds = {task: task_seed(member.config.seed, task) for task, member in members.items()}
    training = {task: training_samples(m.task, m.data, m.config, seeds[task]) for task, m in members.items()}
    start = net.fresh_weights(seed) if first.config.backbone == "fresh" else net.state.shared
    heads = _heads(net, members)
    scales = {}
    for task, samples in training.items():
        weights, own = {**start, **heads[task]}, members[task].task
        scales[task] = first_loss(net.backbone, weights, own, samples, batch=recipe.batch, seed=seeds[task])
    return Job(
        name=first.config.label or method.name,
        folder=folder,
        task=Together(tasks={task: member.task for task, member in members.items()}, scales=scales),
        recipe=recipe,
        mask_lr=recipe.lr if method.mask_lr is None else method.mask_lr,
        seed=seed,
        train=TrainingTogether(training),
        validation=EvaluationTogether(
            {task: evaluation_samples(m.task, m.data, m.config) for task, m in members.items()}
        ),
    )


def _heads(net: MultiTaskNet, members: Mapping[str, Member]) -> dict[str, dict[str, Tensor]]:
    """Return a new head for each task: the one that it would start from if it were learned alone."""
    return {
        name: net.fresh_head(member.task.channels, torch.Generator().manual_seed(task_seed(member.config.seed, name)))
        for name, member in members.items()
    }
