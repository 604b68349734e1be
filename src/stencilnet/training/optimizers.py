"""Adam with one parameter group per role, and learning-rate schedules as pure functions of the step."""

from collections.abc import Iterable, Mapping, Sequence
from math import cos, pi

import torch
from torch import nn

from stencilnet.tasks.task import Recipe


def schedule_factor(schedule: str, step: int, steps: int) -> float:
    """Return the factor of every learning rate at a step.

    Args:
        schedule: ``constant``; ``cosine``: from 1 to 0; ``linear``: 1 in the first half, then linearly to 0 (Isola et
            al. 2017).
        step: Number of steps done, from 0.
        steps: Steps of the whole training.

    Raises:
        ValueError: If `schedule` is none of these.
    """
    match schedule:
        case "constant":
            return 1.0
        case "cosine":
            return 0.5 * (1.0 + cos(pi * step / steps))
        case "linear":
            return min(1.0, 2.0 * (steps - step) / steps)
    raise ValueError(f"Expected `schedule` to be constant, cosine or linear, but got {schedule!r}.")


def adam_by_role(groups: Mapping[str, Sequence[nn.Parameter]], recipe: Recipe, mask_lr: float) -> torch.optim.Adam:
    """Return Adam over a trainable's parameters, with one group per role.

    Weight decay is 0 everywhere, since it would pull all scores of real masks below the threshold. The optimiser is
    Adam because plain SGD cannot bridge the gap from a mask's start to its threshold (Mallya et al. 2018, Sec. 4).

    Args:
        groups: Parameters by role (``mask``, ``weight``, ``head``), as returned by `Trainable.groups`.
        recipe: Recipe that gives the betas and the learning rate of all roles except masks.
        mask_lr: Learning rate of real masks.
    """
    return _adam(
        [
            {"params": list(parameters), "name": role, "initial_lr": mask_lr if role == "mask" else recipe.lr}
            for role, parameters in groups.items()
            if parameters
        ],
        recipe,
    )


def adam_for_critic(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Adam:
    """Return Adam over a critic's parameters, with the recipe's learning rate and betas (Isola et al. 2017)."""
    return _adam([{"params": list(parameters), "name": "critic", "initial_lr": recipe.lr}], recipe)


def scale_rates(optimizer: torch.optim.Adam, factor: float) -> None:
    """Set every group's learning rate to `factor` times its initial one."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def _adam(groups: list[dict[str, object]], recipe: Recipe) -> torch.optim.Adam:
    optimizer = torch.optim.Adam(groups, lr=recipe.lr, betas=recipe.betas, weight_decay=0.0, fused=True)
    scale_rates(optimizer, 1.0)
    optimizer.register_step_post_hook(_tell)
    return optimizer


def _tell(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Bump the version counters, which the fused step does not: cached masked weights are updated by them."""
    torch.autograd.graph.increment_version([p for group in optimizer.param_groups for p in group["params"]])
