"""Joint training: the usual upper reference of continual learning, which is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import torch
from torch import Tensor

from stencilnet.masks import NetState, Replace, TaskDelta, Weights
from stencilnet.methods.method import Fit, Fresh


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Trains the shared network and all tasks' heads at once, from the backbone's start; nothing is learned later.

    Every step has a batch of every task. Their losses are added, each divided by what it is before training. There are
    as many steps as the longest recipe has; batch, rate, betas and schedule are the first task's. The last step is
    kept: no metric of one task would choose for all.
    """

    name: ClassVar[str] = "joint"
    moves_shared: ClassVar[bool] = False
    forgets: ClassVar[bool] = False

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NoReturn:  # noqa: ARG002 (a method's signature)
        """Refuse: no task is learned alone.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"Expected a method that learns {task!r} alone, but joint training learns all tasks of a config at once. "
            "Use `stencil compare`, or another method."
        )


def learn_together(heads: Mapping[str, Mapping[str, Tensor]], fresh: Fresh, fit: Fit) -> NetState:
    """Train the backbone whole on several tasks at once; each task's delta is its head.

    Args:
        heads: Each task's new head, by name and state-dict key, in the order of the channels that `fit` trains.
        fresh: Gives what the backbone starts from; its own head does not matter.
        fit: Trains on all tasks.
    """
    names = fresh.layout.head
    counts = [len(head[names[0]]) for head in heads.values()]
    whole = {name: torch.cat([head[name] for head in heads.values()]) for name in names}
    trained = fit(Weights(fresh.shared, fresh.layout.buffers, whole, fresh.layout.parameters))
    parts = {name: torch.split(entry.apply(None), counts) for name, entry in trained.head_delta().entries.items()}
    state = NetState(trained.shared())
    for place, task in enumerate(heads):
        state = state.add(task, TaskDelta({name: Replace(parts[name][place].clone()) for name in names}))
    return state
