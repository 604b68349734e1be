"""Adam by role, and learning-rate schedules as pure functions of the step."""

from collections.abc import Iterable, Mapping, Sequence
from math import cos, pi

import torch
from torch import nn

from stencilnet.tasks.task import Recipe


def schedule_factor(schedule: str, step: int, steps: int) -> float:
    """Return what every learning rate is multiplied by at a step.

    Args:
        schedule: ``constant``; ``cosine`` from 1 towards 0; ``linear``: 1 in the first half, then straight towards 0
            (Isola et al. 2017).
        step: Number of steps done, from 0.
        steps: Steps of the whole training.

    Raises:
        ValueError: If there is no such schedule.
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
    """Return Adam over a trainable's parameters, one group a role.

    Weight decay is 0 everywhere: on real masks it would drag every score under the threshold. Adam, since plain SGD
    cannot cross the gap from a mask's start to its threshold (Mallya et al. 2018, Sec. 4).

    Args:
        groups: Parameters by role (``mask``, ``weight``, ``head``), as of `Trainable.groups`.
        recipe: Gives the learning rate of all roles but the mask's, and the betas.
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
    """Return Adam over a critic, with the recipe's learning rate and betas (Isola et al. 2017)."""
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
    """Let autograd know what was written: the fused step goes past its version counters, by which masks are kept."""
    torch.autograd.graph.increment_version([p for group in optimizer.param_groups for p in group["params"]])
