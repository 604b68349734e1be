"""One optimiser step: with or without a critic, on a whole batch or part by part, on one device or several.

`Task.weight` gives the weight of each part (on every device) in the batch's mean, so that the gradient does not depend
on how a batch is split: a cross-entropy, for example, is a mean over labelled pixels, whose number differs between
parts. A method's penalty is a mean over images, whose number is the same in all parts. Only random draws (dropout,
noise) and batch statistics (batch normalisation) are separate for each part.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stencilnet.delta import backbone_key
from stencilnet.masks import Trainable
from stencilnet.methods import Penalty
from stencilnet.models.columns import run
from stencilnet.tasks.task import Recipe, Sample, Task
from stencilnet.text.shortening import brief
from stencilnet.training.distributed import ALONE, Group
from stencilnet.training.networks import Judgement, Network, Regularizer, graph_of
from stencilnet.training.optimizers import adam_by_role, adam_for_critic, scale_rates, schedule_factor
from stencilnet.training.settings import Resolved


@dataclass(frozen=True, kw_only=True, eq=False)
class Critic:
    """The adversary of a task's training, its loss (wrapped if there are several devices), and its optimiser."""

    module: nn.Module
    judgement: nn.Module
    optimizer: torch.optim.Adam


@dataclass(frozen=True, kw_only=True, eq=False)
class Learner:
    """All that a step reads and writes.

    Attributes:
        backbone: The network's graph, without memory for weights (`graph_of`).
        trainable: The trainable that gives the weights.
        network: Graph and weights as one module, wrapped if there are several devices.
        regularizer: The method's penalty on the weights; None without one.
        optimizer: Optimiser of the trainable's parameter groups.
        critic: The critic; None for a task without one.
        task: The task that defines the loss.
        recipe: The recipe that gives the schedule.
        resolved: Device, precision, whether compiled, parts of a batch.
        group: The processes that train together.
    """

    backbone: nn.Module
    trainable: Trainable
    network: nn.Module
    regularizer: Regularizer | None
    optimizer: torch.optim.Adam
    critic: Critic | None
    task: Task
    recipe: Recipe
    resolved: Resolved
    group: Group


def make_learner(
    backbone: nn.Module,
    trainable: Trainable,
    critic: nn.Module | None,
    *,
    task: Task,
    recipe: Recipe,
    mask_lr: float,
    resolved: Resolved,
    group: Group = ALONE,
    penalty: Penalty | None = None,
    scale: float = 1.0,
) -> Learner:
    """Move everything to the device and make the optimisers.

    Args:
        backbone: The network that gives the graph; it is not changed.
        trainable: What to train; moved to the device in place.
        critic: The task's critic, moved to the device in place; None without one.
        task: The task to learn.
        recipe: The task's recipe.
        mask_lr: Learning rate of real masks.
        resolved: Device, precision, whether compiled, parts of a batch.
        group: The processes that train together, each with the same tensors.
        penalty: The method's term of the loss, moved to the device in place; None (the default) for none.
        scale: Factor of the penalty: the task's loss before training. Default: 1.

    Raises:
        ValueError: If the trainable's weights do not match the backbone's.
    """
    named = {name for name in trainable.weights() if backbone_key(name) == name}  # this column's own
    needed = set(backbone.state_dict())
    if named != needed:  # functional_call would accept any names
        missing, unknown = brief(sorted(needed - named)), brief(sorted(named - needed))
        raise ValueError(
            f"Expected the trainable to give every tensor of {type(backbone).__name__} and no other, but got "
            f"missing {missing} and unknown {unknown}. Make the trainable from this backbone's weights."
        )
    graph = graph_of(backbone, resolved.device)
    trainable.to(resolved.device)
    network = Network(graph, trainable)
    regularizer = None if penalty is None else _regularizer(backbone, trainable, penalty, scale, resolved)
    if resolved.compiled:
        torch.compiler.reset()  # the number of compiled graphs is limited; drop earlier trainings'
        network.compile(dynamic=False, mode=launch_mode(critic, resolved, group, penalty))
        if regularizer is not None:
            regularizer.compile(dynamic=False)
    return Learner(
        backbone=graph,
        trainable=trainable,
        network=group.wrap(network),
        regularizer=regularizer,
        optimizer=adam_by_role(trainable.groups(), recipe, mask_lr),
        critic=_with_optimizer(critic, task, recipe, resolved.device, group),
        task=task,
        recipe=recipe,
        resolved=resolved,
        group=group,
    )


def forward(learner: Learner, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return raw outputs ``(N, C, H, W)``, float32 in any precision, for images ``(N, 3, H, W)`` in [0, 1]."""
    with learner.resolved.autocast():
        output = run(learner.backbone, weights, images)
    return output.float()


def train_step(learner: Learner, batch: Sample, step: int) -> dict[str, Tensor]:
    """Take one step; a critic is updated first (Goodfellow et al. 2014, Alg. 1).

    Args:
        learner: What is trained; the backbone is in training mode.
        batch: Compact batch on the device; with several devices, this device's share of it.
        step: Number of steps done, for the schedule.

    Returns:
        Detached scalars of the whole batch: ``loss``, its terms as ``loss/<term>``, and ``critic``.
    """
    factor = schedule_factor(learner.recipe.schedule, step, learner.recipe.steps)
    parts = _parts(batch, learner.resolved.settings.accumulate)
    shares = _shares(learner, parts)
    critic = learner.critic
    runs: Iterable[ForwardPass] = _runs(learner, parts)
    values: dict[str, Tensor] = {}
    if critic is not None:
        # A batch in one part runs once for both steps. Memory holds only one of several parts, so these run twice.
        runs = list(runs) if len(parts) == 1 else runs
        values |= _critic_step(critic, runs if len(parts) == 1 else _fakes(learner, parts), shares, learner, factor)
    values |= _network_step(learner, runs, shares, factor)
    learner.trainable.after_step(step + 1, learner.recipe.steps)
    whole = learner.group.sum(torch.stack(list(values.values())))
    return dict(zip(values, whole.unbind(), strict=True))


ONE_LAUNCH = "reduce-overhead"
"""The `torch.compile` mode that records a graph's kernels as a CUDA graph."""

ForwardPass = tuple[dict[str, Tensor], Tensor]
"""A prepared part of a batch, and the network's raw output for it."""


def _parts(batch: Sample, count: int) -> list[dict[str, Tensor]]:
    chunks = {name: tensor.chunk(count) for name, tensor in batch.items()}
    return [{name: chunk[place] for name, chunk in chunks.items()} for place in range(count)]


def _shares(learner: Learner, parts: Sequence[Sample]) -> list[Tensor | float]:
    """Return each part's weight in the mean over all parts of all devices, times the number of devices.

    The factor makes up for gradients being averaged over devices. No part has to run for this.
    """
    if len(parts) == 1 and learner.group.size == 1:
        return [1.0]
    weights = torch.stack([learner.task.weight(learner.task.prepare(part)) for part in parts])
    total = learner.group.sum(weights.sum())
    return list((weights * learner.group.size / total.where(total > 0, 1)).unbind())


def _runs(learner: Learner, parts: Sequence[Sample]) -> Iterator[ForwardPass]:
    for left, part in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
        sample = learner.task.prepare(part)
        with _sent_if(learner.network, not left), learner.resolved.autocast():
            output = learner.network(sample["input"])
        yield sample, output.float()


def _fakes(learner: Learner, parts: Sequence[Sample]) -> Iterator[ForwardPass]:
    """Run the parts only for the critic, without updating running statistics, since the parts will run again."""
    running = [name for name, buffer in learner.backbone.named_buffers() if buffer.is_meta]
    for part in parts:
        sample = learner.task.prepare(part)
        with torch.no_grad():
            weights = learner.trainable.weights()
            output = forward(learner, weights | {n: weights[n].clone() for n in running}, sample["input"])
        yield sample, output


def _network_step(
    learner: Learner, runs: Iterable[ForwardPass], shares: Sequence[Tensor | float], factor: float
) -> dict[str, Tensor]:
    critic = None if learner.critic is None else learner.critic.module
    scale_rates(learner.optimizer, factor)
    learner.optimizer.zero_grad(set_to_none=True)
    values: dict[str, Tensor] = {}
    for (sample, output), share in zip(runs, shares, strict=True):
        terms = learner.task.loss(output, sample, critic)
        loss = torch.stack(list(terms.values())).sum()
        _add(values, {"loss": loss} | {f"loss/{name}": term for name, term in terms.items()}, share, learner.group)
        loss = loss * share
        if learner.regularizer is not None:
            loss = loss + _penalty(learner.regularizer, sample, 1 / len(shares), learner, values)
        loss.backward()  # type: ignore[no-untyped-call]
    learner.optimizer.step()
    return values


def _penalty(
    regularizer: Regularizer, sample: Sample, share: float, learner: Learner, values: dict[str, Tensor]
) -> Tensor:
    with learner.resolved.autocast():
        value: Tensor = regularizer(sample["input"])
    _add(values, {"loss": value, f"loss/{regularizer.penalty.name}": value}, share, learner.group)
    return value * share


def _critic_step(
    critic: Critic, fakes: Iterable[ForwardPass], shares: Sequence[Tensor | float], learner: Learner, factor: float
) -> dict[str, Tensor]:
    critic.module.requires_grad_(True)
    scale_rates(critic.optimizer, factor)
    critic.optimizer.zero_grad(set_to_none=True)
    values: dict[str, Tensor] = {}
    for left, (sample, output), share in zip(range(len(shares) - 1, -1, -1), fakes, shares, strict=True):
        with _sent_if(critic.judgement, not left):
            loss = critic.judgement(output.detach(), sample)
        (loss * share).backward()
        _add(values, {"critic": loss}, share, learner.group)
    critic.optimizer.step()
    critic.module.requires_grad_(False)  # the network's step backpropagates through the critic without training it
    return values


def _add(values: dict[str, Tensor], more: Mapping[str, Tensor], share: Tensor | float, group: Group) -> None:
    for name, value in more.items():
        values[name] = values.get(name, 0) + value.detach() * share / group.size


def _sent_if(module: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Return a context for a part's forward pass; only the last part's backward pass averages gradients."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) and not last else nullcontext()


def launch_mode(
    critic: nn.Module | None, resolved: Resolved, group: Group, penalty: Penalty | None = None
) -> str | None:
    """Return the compile mode: one launch on CUDA, if a step is one forward and one backward pass.

    Except for large networks and batches, launching a step's kernels one by one takes longer than running them. A CUDA
    graph overwrites the outputs and gradients of its last run, so nothing else may run in between.
    """
    simple = critic is None and penalty is None and resolved.settings.accumulate == 1 and group.size == 1
    return ONE_LAUNCH if resolved.device == "cuda" and simple else None


def _regularizer(
    backbone: nn.Module, trainable: Trainable, penalty: Penalty, scale: float, resolved: Resolved
) -> Regularizer:
    return Regularizer(graph_of(backbone, resolved.device), trainable, penalty.to(resolved.device), scale)


def _with_optimizer(critic: nn.Module | None, task: Task, recipe: Recipe, device: str, group: Group) -> Critic | None:
    if critic is None:
        return None
    critic = critic.to(device).train()
    return Critic(
        module=critic,
        judgement=group.wrap(Judgement(critic, task)),
        optimizer=adam_for_critic(critic.parameters(), recipe),
    )
