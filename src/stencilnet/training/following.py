"""Trainings on several processes: what process 0 sends to the followers, which run their share of every batch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from stencilnet.masks import Trainable
from stencilnet.methods import Penalty
from stencilnet.training.checkpoint import restore
from stencilnet.training.distributed import Group, unpacked
from stencilnet.training.job import Job
from stencilnet.training.loop import stepped
from stencilnet.training.sampling import Order, training_loader
from stencilnet.training.seeds import CRITIC, derived_seed, forked
from stencilnet.training.settings import Resolved, resolve
from stencilnet.training.step import Learner, make_learner


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSetup:
    """All that decides the steps of a training, in whichever process.

    Attributes:
        backbone: The network that gives the graph.
        trainable: The trainable in its state before the first step.
        job: What is trained.
        resolved: The settings as resolved by process 0.
        call: Number of this training within the job, from 0.
        record: The checkpoint to resume; None for a new training.
        penalty: The method's term of the loss; None (the default) for none.
        scale: Factor of the penalty: the task's loss before training. Default: 1.
    """

    backbone: nn.Module
    trainable: Trainable
    job: Job
    resolved: Resolved
    call: int
    record: Mapping[str, Any] | None
    penalty: Penalty | None = None
    scale: float = 1.0

    def learner(self, resolved: Resolved, group: Group) -> Learner:
        """Return the learner at the step where the training starts or resumes."""
        with forked("cpu", self.job.seed, CRITIC, self.call):
            critic = self.job.task.critic()
        learner = make_learner(
            self.backbone,
            self.trainable,
            critic,
            task=self.job.task,
            recipe=self.job.recipe,
            mask_lr=self.job.mask_lr,
            resolved=resolved,
            group=group,
            penalty=self.penalty,
            scale=self.scale,
        )
        if self.record is not None:
            restore(learner, self.record)
        return learner

    def order(self, group: Group) -> Order:
        """Return the order of a process's examples, from the step where the training starts or resumes."""
        return Order(
            seed=derived_seed(self.job.seed, self.call),
            size=len(self.job.train),
            batch=self.job.recipe.batch,
            steps=self.job.recipe.steps,
            first=0 if self.record is None else self.record["step"],
            rank=group.rank,
            ranks=group.size,
        )


def follow(group: Group) -> None:
    """Take part in every training that process 0 begins, until process 0 ends. This process writes nothing.

    Process 0 decides whether to continue after a step: only it validates and checks that values are finite.
    """
    while (start := group.receive()) is not None:
        _take_part(unpacked(start), group)


def _take_part(training: TrainingSetup, group: Group) -> None:
    leads = training.resolved  # process 0 decides what the settings leave open
    resolved = replace(resolve(leads.settings, group), precision=leads.precision, compiled=leads.compiled)
    learner, order = training.learner(resolved, group), training.order(group)
    learner.backbone.train()
    loader = training_loader(training.job.train, order, workers=resolved.settings.workers, device=resolved.device)
    for done, batch in enumerate(loader, start=order.first):
        if not group.go():
            return
        on_device = {name: tensor.to(resolved.device, non_blocking=True) for name, tensor in batch.items()}
        stepped(learner, on_device, done, order.seed)
    group.go()
