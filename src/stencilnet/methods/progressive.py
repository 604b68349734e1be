"""Progressive networks: a new column for each task, fed by the frozen ones before it (Rusu et al. 2016)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.masks import NetState, Weights, column_key, lateral_key
from stencilnet.methods.method import Fit, Fresh, Method


@dataclass(frozen=True, kw_only=True)
class Progressive(Method):
    """Trains a whole network of its own for each task, which at every level also sees what earlier tasks' networks see.

    The adapter from an earlier column at a level is a 1x1 convolution of what that level is given there, added to what
    the level's first convolution gives here. Adapters start at zero: a column starts as `scratch` does. A task's
    weights, adapters and cost of running grow with the number of tasks before it.

    Deviations from Rusu et al. 2016, Sec. 2: adapters are linear, without a scale or a nonlinearity of their own, and
    there is one a level rather than one a layer; any task learned before is a column, whatever it was learned by.
    """

    name: ClassVar[str] = "progressive"
    title: ClassVar[str] = "progressive"

    def prerequisites(self, task: str, learned_before: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 (all alike)
        """Return all tasks learned before: each is a column of the new task."""
        return learned_before

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with a delta that holds the task's own column and its adapters, and needs all tasks before.

        Raises:
            ValueError: If the backbone is no U-Net: its levels are where adapters are.
        """
        layout = fresh.layout
        if not layout.levels:
            raise ValueError(
                "Expected a backbone with levels for progressive columns, but got one without. Use the U-Net, or "
                "another method."
            )
        columns = {
            column_key(earlier, key): tensor
            for earlier, delta in state.deltas.items()
            for key, tensor in delta.apply(state.shared).items()
        }
        laterals = {
            lateral_key(earlier, level): _start(fresh.shared[f"{level}.weight"])
            for earlier in state.deltas
            for level in layout.levels
        }
        start = {**columns, **fresh.shared, **laterals}
        trained = fit(Weights(start, (), fresh.head, (*layout.parameters, *laterals)))
        return state.add(task, trained.delta())


def _start(weight: Tensor) -> Tensor:
    return torch.zeros(*weight.shape[:2], 1, 1, dtype=weight.dtype)
