"""PackNet: tasks packed into one network by pruning (Mallya and Lazebnik 2018)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.masks import BitMask, Entry, Free, NetState, Replace, Seeded, Select, TaskDelta
from stencilnet.methods.method import AfterFirst, Fit, Fresh, Method
from stencilnet.models import Layout
from stencilnet.text.shortening import listed


@dataclass(frozen=True, kw_only=True)
class PackNet(Method):
    """Trains the weights that no task owns, gives the smallest of them back, and trains the rest on.

    Every convolution and linear weight has one owner, the task that trained it last. A task runs on its own weights and
    those of the tasks before it, the others being 0; nothing moves a weight that has an owner, so no earlier output
    changes by a bit. Pruning is layer by layer, ``round(share * n)`` of the task's own n weights, by their magnitude
    (Mallya and Lazebnik 2018, Sec. 3). Weights that were given back start from 0. Biases and norms are trained by the
    first task alone, running statistics are each task's own.

    A task's delta selects its weights, one bit each. One map of owners would tell all tasks apart by
    ``ceil(log2(tasks + 1))`` bits a weight; here each task can be read without the others. As in the original the first
    task pays for it: it is pruned and trained on, so that it has another result than with other methods. Unlike there
    the last task is pruned too, and so leaves room for more.
    """

    name: ClassVar[str] = "packnet"
    title: ClassVar[str] = "PackNet"
    moves_shared: ClassVar[bool] = True
    after_first: ClassVar[AfterFirst] = "retrain"
    prune_first: float = 0.5
    """Share of its weights that the first task gives back."""
    prune: float = 0.75
    """Share of its own weights that each further task gives back."""
    retrain: float = 0.3
    """Share of a task's steps that come after pruning; of the first task's, on top of them."""
    retrain_lr: float = 1.0
    """Factor on the learning rate after pruning, where its schedule starts anew."""

    def __post_init__(self) -> None:
        shares = {"prune_first": self.prune_first, "prune": self.prune, "retrain": self.retrain}
        problems = [
            f"`{name}` to lie between 0 and 1, but got {value}" for name, value in shares.items() if not 0 < value < 1
        ]
        if not self.retrain_lr > 0:
            problems.append(f"`retrain_lr` to be positive, but got {self.retrain_lr}")
        if problems:
            raise ValueError("Expected PackNet's " + "; ".join(problems) + ".")

    def adopt(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state whose first task owns its larger weights, trained on without the others."""
        layout, weights = fresh.layout, state.weights(task)
        everything = {name: torch.ones_like(weights[name], dtype=torch.bool) for name in layout.masked}
        kept, start = pruned({name: weights[name] for name in state.shared}, everything, self.prune_first)
        others = {name: torch.ones_like(weights[name], dtype=torch.bool) for name in layout.parameters}
        free = Free(start, layout.buffers, {name: weights[name] for name in layout.head}, others | kept)
        trained = fit(free, share=self.retrain, lr_scale=self.retrain_lr)
        delta = TaskDelta({**_selecting(kept), **trained.head_delta().entries})
        return state.remove(task).move(trained.shared()).add(task, delta)

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state over shared weights of which some more have an owner.

        Raises:
            ValueError: If every weight has one.
        """
        layout, buffers = fresh.layout, fresh.layout.buffers
        owned = _owned(state, layout)
        free = {name: ~bits for name, bits in owned.items()}
        if not any(bool(bits.any()) for bits in free.values()):
            raise ValueError(
                f"Expected weights that no task owns, to learn {task!r} by, but {listed(state.deltas)} use all. "
                "Learn all tasks by packnet, the first one too: it leaves room for more."
            )
        empty = {name: state.shared[name].masked_fill(bits, 0) for name, bits in free.items()}  # of removed tasks too
        trained = fit(Free({**state.shared, **empty}, buffers, fresh.head, free), share=1 - self.retrain)
        kept, start = pruned(trained.shared(), free, self.prune)
        head = {name: entry.apply(None) for name, entry in trained.head_delta().entries.items()}
        trained = fit(Free(start, buffers, head, kept), share=self.retrain, lr_scale=self.retrain_lr)
        own = {name: entry for name, entry in trained.delta().entries.items() if name not in free}
        selected = _selecting({name: bits | kept[name] for name, bits in owned.items()})
        shared = trained.shared() | {name: state.shared[name] for name in buffers}
        return state.move(shared).add(task, TaskDelta({**selected, **own}))


def pruned(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], share: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Set a share of a task's own weights to 0, the smallest of each layer; of equal ones the first.

    Args:
        weights: By state-dict key; stay as they are.
        own: Which elements are the task's, bool, by the keys of the layers.
        share: To set to 0, of each layer's own.

    Returns:
        Which elements are still the task's, and all weights.
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
    """Return which elements a task owns: those it selects, and all of a weight that it uses as it is."""
    owned = {}
    for name in layout.masked:
        bits = torch.zeros(state.shared[name].shape, dtype=torch.bool)
        for delta in state.deltas.values():
            entry = delta.entries.get(name)
            if isinstance(entry, Select):
                bits = bits | entry.bits.unpack().cpu()
            elif not isinstance(entry, Replace | Seeded):  # all of it, in whatever form
                bits = torch.ones_like(bits)
        owned[name] = bits
    return owned


def _selecting(bits: Mapping[str, Tensor]) -> dict[str, Entry]:
    return {name: Select(BitMask.pack(mine.cpu())) for name, mine in bits.items()}
