"""Joint training: the usual upper bound for continual learning, though not itself continual."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import NetState, Weights, applied, array_of
from stencilnet.methods.method import Fit, Fresh, JointMethod


@dataclass(frozen=True, kw_only=True)
class Joint(JointMethod):
    """Trains the shared network and all heads at once, from the initial backbone; no task can be added later.

    Every step has a batch of every task. The losses are added, each divided by its value before training. The number of
    steps is that of the longest recipe; batch, learning rate, betas and schedule are the first task's. The last step
    is kept, since no metric of a single task could select for all.
    """

    name: ClassVar[str] = "joint"
    title: ClassVar[str] = "joint training"

    def learn_together(self, heads: Mapping[str, Mapping[str, Tensor]], fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with the trained backbone; each task's delta is its head."""
        names = fresh.layout.head
        counts = [len(head[names[0]]) for head in heads.values()]
        whole = {name: torch.cat([head[name] for head in heads.values()]) for name in names}
        trained = fit(Weights(fresh.shared, fresh.layout.buffers, whole, fresh.layout.parameters))
        parts = {
            name: torch.split(applied(entry, None), counts) for name, entry in trained.head_delta().entries.items()
        }
        state = NetState(trained.shared())
        for place, task in enumerate(heads):
            state = state.add(task, TaskDelta({name: Replace(array_of(parts[name][place].clone())) for name in names}))
        return state
