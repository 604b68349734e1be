"""One optimiser step, with or without a critic."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stencilnet.masks import Trainable
from stencilnet.tasks.task import Recipe, Sample, Task
from stencilnet.training.optimizers import adam_by_role, adam_for_critic, scale_rates, schedule_factor
from stencilnet.training.settings import Resolved


@dataclass(frozen=True, kw_only=True, eq=False)
class Critic:
    """The adversary of a task's training, and its optimiser."""

    module: nn.Module
    optimizer: torch.optim.Adam


@dataclass(frozen=True, kw_only=True, eq=False)
class Learner:
    """All that a step reads and writes.

    Attributes:
        backbone: Own copy of the network; gives the graph, its tensors are never used.
        trainable: Gives the weights.
        optimizer: Over the trainable's groups.
        critic: None for a task without one.
        task: Gives the loss.
        recipe: Gives the schedule.
        resolved: Device and precision.
    """

    backbone: nn.Module
    trainable: Trainable
    optimizer: torch.optim.Adam
    critic: Critic | None
    task: Task
    recipe: Recipe
    resolved: Resolved


def make_learner(
    backbone: nn.Module,
    trainable: Trainable,
    critic: nn.Module | None,
    *,
    task: Task,
    recipe: Recipe,
    mask_lr: float,
    resolved: Resolved,
) -> Learner:
    """Put everything on the device and make the optimisers.

    Args:
        backbone: Taken over: frozen, moved, switched between training and evaluation.
        trainable: Taken over.
        critic: Taken over.
        task: What is learned.
        recipe: How.
        mask_lr: Learning rate of real masks.
        resolved: Device and precision.

    Raises:
        ValueError: If the trainable's weights are not those of the backbone.
    """
    named, needed = set(trainable.weights()), set(backbone.state_dict())
    if named != needed:  # functional_call would take any names silently
        raise ValueError(
            f"Expected the trainable to give every tensor of {type(backbone).__name__} and no other, but "
            f"missing are {sorted(needed - named)} and unknown are {sorted(named - needed)}. Is it another backbone's?"
        )
    trainable.to(resolved.device)
    return Learner(
        backbone=backbone.requires_grad_(False).to(resolved.device),
        trainable=trainable,
        optimizer=adam_by_role(trainable.groups(), recipe, mask_lr),
        critic=_with_optimizer(critic, recipe, resolved.device),
        task=task,
        recipe=recipe,
        resolved=resolved,
    )


def forward(learner: Learner, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return raw outputs ``(N, C, H, W)``, float32 whatever the precision, of images ``(N, 3, H, W)`` in [0, 1]."""
    with learner.resolved.autocast():
        output: Tensor = functional_call(learner.backbone, dict(weights), (images,))
    return output.float()


def train_step(learner: Learner, batch: Sample, step: int) -> dict[str, Tensor]:
    """Take one step; the critic, where there is one, goes first (Goodfellow et al. 2014, Alg. 1).

    Args:
        learner: What is trained; the backbone is in training mode.
        batch: Compact, on the device.
        step: Number of steps done, which the schedule goes by.

    Returns:
        Detached scalars: ``loss``, its terms as ``loss/<term>``, and ``critic``.
    """
    batch = learner.task.prepare(batch)
    factor = schedule_factor(learner.recipe.schedule, step, learner.recipe.steps)
    output = forward(learner, learner.trainable.weights(), batch["input"])
    values = {}
    critic = learner.critic
    if critic is not None:
        values["critic"] = _critic_step(critic, learner.task, output.detach(), batch, factor)
    terms = learner.task.loss(output, batch, None if critic is None else critic.module)
    loss = torch.stack(list(terms.values())).sum()
    scale_rates(learner.optimizer, factor)
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    learner.optimizer.step()
    values |= {"loss": loss.detach()} | {f"loss/{name}": term.detach() for name, term in terms.items()}
    return values


def _critic_step(critic: Critic, task: Task, output: Tensor, batch: Sample, factor: float) -> Tensor:
    critic.module.requires_grad_(True)
    loss = task.critic_loss(critic.module, output, batch)
    scale_rates(critic.optimizer, factor)
    critic.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    critic.optimizer.step()
    critic.module.requires_grad_(False)  # the network's step goes through the critic and must not train it
    return loss.detach()


def _with_optimizer(critic: nn.Module | None, recipe: Recipe, device: str) -> Critic | None:
    if critic is None:
        return None
    critic = critic.to(device).train()
    return Critic(module=critic, optimizer=adam_for_critic(critic.parameters(), recipe))
