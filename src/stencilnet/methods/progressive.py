"""Progressive networks: a new column for each task, fed by the frozen ones before it (Rusu et al. 2016)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.delta import column_key, lateral_key
from stencilnet.masks import NetState, Weights, task_weights
from stencilnet.methods.method import Fit, Fresh, Method


@dataclass(frozen=True, kw_only=True)
class Progressive(Method):
    """Trains a separate network (column) for each task, which at every level also receives earlier columns' features.

    The adapter from an earlier column at a level is a 1x1 convolution of that level's input in the earlier column,
    added to the output of the level's first convolution in the new one. Adapters start at zero, so a column starts as
    in `scratch`. A task's weights, adapters and inference cost grow with the number of tasks before it.

    Deviations from Rusu et al. 2016, Sec. 2: adapters are linear, without a scale or a nonlinearity, with one per level
    instead of one per layer; every earlier task is a column, whatever method learned it.
    """

    name: ClassVar[str] = "progressive"
    title: ClassVar[str] = "progressive"

    def prerequisites(self, task: str, learned_before: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 (all alike)
        """Return all tasks learned before; each is a column of the new task."""
        return learned_before

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with a delta that holds the task's column and adapters, and depends on all tasks before.

        Raises:
            ValueError: If the backbone names no levels, between which adapters run.
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
            for key, tensor in task_weights(delta, state.shared).items()
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
