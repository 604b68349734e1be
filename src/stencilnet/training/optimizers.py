"""Adam by role, and learning-rate schedules as pure functions of the step."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn

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


class TensorAdam(torch.optim.Optimizer):
    """Adam with one second moment a tensor: the mean over all its elements (Zhang et al. 2024, Adam-mini).

    First moment, bias correction and rate are as in Adam. Within a tensor, updates keep the relative size of the
    gradients' means, where Adam moves every element about `lr` a step, whether the loss notices it or not.

    Args:
        groups: As of any PyTorch optimiser.
        lr: Learning rate of groups without one.
        betas: How slowly the moments move, in [0, 1).
        eps: Added to the root of the second moment.
    """

    def __init__(
        self, groups: list[dict[str, object]], lr: float, betas: tuple[float, float], eps: float = 1e-8
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 (PyTorch's signature)
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _move(parameter, parameter.grad, self.state[parameter], group)


def _move(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    if not state:
        state.update(step=0, first=torch.zeros_like(parameter), second=parameter.new_zeros(()))
    slow, slower = group["betas"]
    state["step"] += 1
    state["first"].lerp_(gradient, 1 - slow)
    state["second"].lerp_(gradient.square().mean(), 1 - slower)
    size = (state["second"] / (1 - slower ** state["step"])).sqrt() + group["eps"]
    parameter.sub_(state["first"] * (group["lr"] / (1 - slow ** state["step"]) / size))


class Optimizers:
    """Several optimisers as one.

    Args:
        parts: Over different parameters.
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self._parts = tuple(parts)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """All groups; their settings may be changed."""
        return [group for part in self._parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        """Take a step with each."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        for part, own in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(own)


AnyOptimizer = torch.optim.Optimizer | Optimizers


def adam_by_role(
    groups: Mapping[str, Sequence[nn.Parameter]],
    recipe: Recipe,
    mask_lr: float,
    tensorwise: Collection[str] = (),
) -> AnyOptimizer:
    """Return Adam over a trainable's parameters, one group a role.

    Weight decay is 0 everywhere: on real masks it would drag every score under the threshold. Adam, since plain SGD
    cannot cross the gap from a mask's start to its threshold (Mallya et al. 2018, Sec. 4).

    Args:
        groups: Parameters by role (``mask``, ``weight``, ``head``), as of `Trainable.groups`.
        recipe: Gives the learning rate of all roles but the mask's, and the betas.
        mask_lr: Learning rate of real masks.
        tensorwise: Roles whose tensors have one second moment each (`TensorAdam`).
    """
    found: dict[bool, list[dict[str, object]]] = {True: [], False: []}
    for role, parameters in groups.items():
        if parameters:
            rate = mask_lr if role == "mask" else recipe.lr
            found[role in tensorwise].append({"params": list(parameters), "name": role, "initial_lr": rate})
    if not found[True]:
        return _adam(found[False], recipe)
    whole = TensorAdam(found[True], recipe.lr, recipe.betas)
    scale_rates(whole, 1.0)
    return Optimizers([whole, *([_adam(found[False], recipe)] if found[False] else [])])


def adam_for_critic(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Adam:
    """Return Adam over a critic, with the recipe's learning rate and betas (Isola et al. 2017)."""
    return _adam([{"params": list(parameters), "name": "critic", "initial_lr": recipe.lr}], recipe)


def scale_rates(optimizer: AnyOptimizer, factor: float) -> None:
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
