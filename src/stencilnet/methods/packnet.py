"""PackNet: tasks packed into one network by pruning (Mallya and Lazebnik 2018)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.delta import BitMask, Entry, Replace, Seeded, Select, TaskDelta
from stencilnet.masks import Free, NetState, applied, tensor_of
from stencilnet.methods.method import AfterFirst, Fit, Fresh, Method
from stencilnet.models import Layout
from stencilnet.text.fields import check_fields
from stencilnet.text.shortening import listed


@dataclass(frozen=True, kw_only=True)
class PackNet(Method):
    """Trains the weights that no task owns, prunes the smallest of them, and trains the rest further.

    Every convolution and linear weight has at most one owner, the task that trained it last. A task runs on its own
    weights and those of the tasks before it; the others are 0. Weights with an owner never move, so earlier outputs
    stay bit-equal. Pruning is layer by layer: ``round(share * n)`` of the task's own n weights, the smallest by
    magnitude, are free again (Mallya and Lazebnik 2018, Sec. 3). Free weights start from 0. Biases and norms are
    trained by the first task alone; each task has its own running statistics.

    A task's delta selects its weights with one bit each. A single map of owners would need ``ceil(log2(tasks + 1))``
    bits per weight for all tasks; with a delta each task can be read without the others. As in the original, the first
    task is pruned and trained further, so its result differs from that of other methods. Unlike there, the last task
    is pruned too, which leaves room for more.
    """

    name: ClassVar[str] = "packnet"
    title: ClassVar[str] = "PackNet"
    moves_shared: ClassVar[bool] = True
    after_first: ClassVar[AfterFirst] = "retrain"
    prune_first: float = 0.5
    """Share of the first task's weights that is pruned."""
    prune: float = 0.75
    """Share of each further task's own weights that is pruned."""
    retrain: float = 0.3
    """Share of a task's steps that follow pruning. For the first task, these are additional steps."""
    retrain_lr: float = 1.0
    """Factor on the learning rate after pruning, when its schedule starts again."""

    def __post_init__(self) -> None:
        shares = {"prune_first": self.prune_first, "prune": self.prune, "retrain": self.retrain}
        check_fields(
            *((name, 0 < share < 1, f"to lie between 0 and 1, but got {share}") for name, share in shares.items()),
            ("retrain_lr", self.retrain_lr > 0, f"to be positive, but got {self.retrain_lr}"),
            owner="PackNet's",
        )

    def adopt(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state whose first task owns its larger weights, trained further without the others."""
        layout, weights = fresh.layout, state.weights(task)
        everything = {name: torch.ones_like(weights[name], dtype=torch.bool) for name in layout.masked}
        kept, start = pruned({name: weights[name] for name in state.shared}, everything, self.prune_first)
        others = {name: torch.ones_like(weights[name], dtype=torch.bool) for name in layout.parameters}
        free = Free(start, layout.buffers, {name: weights[name] for name in layout.head}, others | kept)
        trained = fit(free, share=self.retrain, lr_scale=self.retrain_lr)
        delta = TaskDelta({**_selecting(kept), **trained.head_delta().entries})
        return state.remove(task).move(trained.shared()).add(task, delta)

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with the task, which owns a part of the weights that were free.

        Raises:
            ValueError: If no weight is free.
        """
        layout, buffers = fresh.layout, fresh.layout.buffers
        owned = _owned(state, layout)
        free = {name: ~bits for name, bits in owned.items()}
        if not any(bool(bits.any()) for bits in free.values()):
            raise ValueError(
                f"Expected free weights to learn {task!r}, but {listed(state.deltas)} use all. "
                "Learn all tasks by packnet, including the first one: it leaves room for more."
            )
        empty = {
            name: state.shared[name].masked_fill(bits, 0) for name, bits in free.items()
        }  # including those of removed tasks
        trained = fit(Free({**state.shared, **empty}, buffers, fresh.head, free), share=1 - self.retrain)
        kept, start = pruned(trained.shared(), free, self.prune)
        head = {name: applied(entry, None) for name, entry in trained.head_delta().entries.items()}
        trained = fit(Free(start, buffers, head, kept), share=self.retrain, lr_scale=self.retrain_lr)
        own = {name: entry for name, entry in trained.delta().entries.items() if name not in free}
        selected = _selecting({name: bits | kept[name] for name, bits in owned.items()})
        shared = trained.shared() | {name: state.shared[name] for name in buffers}
        return state.move(shared).add(task, TaskDelta({**selected, **own}))


def pruned(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], share: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Set a share of a task's own weights to 0: the smallest of each layer; among equal ones the first.

    Args:
        weights: Weights by state-dict key; they are not changed.
        own: Which elements are the task's, bool, by the keys of the layers to prune.
        share: Share of each layer's own elements to set to 0.

    Returns:
        Which elements are still the task's, and all weights after pruning.
    """
    kept, left = {}, dict(weights)
    for name, bits in own.items():
        places = bits.flatten().nonzero().squeeze(1)
        order = weights[name].flatten()[places].abs().argsort(stable=True)
        gone = places[order[: round(share * len(places))]]
        mine, weight = (tensor.flatten().index_fill(0, gone, 0) for tensor in (bits, weights[name]))
        kept[name], left[name] = mine.view_as(bits), weight.view_as(bits)
    return kept, left


def _owned(state: NetState, layout: Layout) -> dict[str, Tensor]:
    """Return which elements have an owner: those that a task selects, and all of a weight that one uses unmasked."""
    owned = {}
    for name in layout.masked:
        bits = torch.zeros(state.shared[name].shape, dtype=torch.bool)
        for delta in state.deltas.values():
            entry = delta.entries.get(name)
            if isinstance(entry, Select):
                bits = bits | tensor_of(entry.bits.unpack())
            elif not isinstance(entry, Replace | Seeded):  # the whole weight, in any form
                bits = torch.ones_like(bits)
        owned[name] = bits
    return owned


def _selecting(bits: Mapping[str, Tensor]) -> dict[str, Entry]:
    return {name: Select(BitMask.pack(mine.cpu())) for name, mine in bits.items()}
