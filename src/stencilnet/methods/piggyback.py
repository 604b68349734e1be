"""Piggyback: one bit a weight over the frozen backbone (Mallya et al. 2018; the paper, Sec. 3)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from stencilnet.masks import BitMask, Masks, NetState, TaskDelta, scores_by_weight, warm_scores
from stencilnet.methods.method import Fit, Fresh, Masking, Method, own_norms
from stencilnet.methods.thrift import Zeros
from stencilnet.text.shortening import listed

logger = logging.getLogger(__name__)

Start = Literal["constant", "weight"]


@dataclass(frozen=True, kw_only=True)
class Piggyback(Method, Masking):
    """Learns a binary mask over every convolution and linear weight, and a head.

    The defaults are the paper's.
    """

    name: ClassVar[str] = "piggyback"
    title: ClassVar[str] = "Piggyback"
    colour: ClassVar[str] = "#0072b2"
    lr: float = 1e-4
    """Learning rate of the real masks (Adam, no weight decay). 1e-4 is the original's, for its budget of tens of
    thousands of steps; a score starts 5e-3 above the threshold and moves about `lr` a step, so small budgets need
    more: at 450 steps 8e-3 and 1.6e-2 were best."""
    norm: bool = False
    """Whether the task trains the scales and shifts of norms too, from the backbone's, and stores its own (the
    original's `train_bn`). Needs a backbone whose norms have some: the U-Net's with `norm: own` or `affine`."""
    warm_start: str | None = None
    """An earlier task with a mask to start from: where its bit is zero, a score starts as far below the threshold as it
    would above. Its head is taken along where it has as many output channels: two tasks of one kind whose heads have a
    common start are joined by a smoother line of blends (`stencil blend`). The task of that name itself starts
    without."""
    start: Start = "constant"
    """Where scores start. ``constant``, the paper's: all 5e-3 above the threshold. ``weight``: that far for a weight of
    its layer's mean absolute value, and for the others in proportion, so that small weights are switched off first.
    A few per cent better where it was measured (docs/results/quality.md)."""
    price: float = 0.0
    """What zeros cost (`Zeros`): this, in units of the task's loss before training, for a mask without a one. The fewer
    zeros, the fewer bytes a mask takes on disk; 0 in the paper."""

    def __post_init__(self) -> None:
        problems = [
            *([] if self.lr > 0 else [f"the masks' `lr` to be positive, but got {self.lr}"]),
            *(
                []
                if self.start in get_args(Start)
                else [f"`start` to be one of {', '.join(get_args(Start))}, but got {self.start!r}"]
            ),
            *(
                []
                if self.start == "constant" or self.warm_start is None
                else ["`start: weight` or `warm_start`, not both"]
            ),
            *([] if self.price >= 0 else [f"`price` to be at least 0, but got {self.price}"]),
        ]
        if problems:
            raise ValueError("Expected " + "; ".join(problems) + ".")

    @property
    def trains_norms(self) -> bool:
        """As `norm` says."""
        return self.norm

    @property
    def mask_lr(self) -> float:
        """As `lr` says."""
        return self.lr

    def prerequisites(self, task: str, learned_before: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 (one for all)
        """Return the task of the warm start."""
        return () if self.warm_start in (None, task) else (self.warm_start,)

    def order_problems(self, tasks: tuple[str, ...]) -> list[str]:
        """Return whether the warm start is other than the first task: those before it could not start from it."""
        if self.warm_start is None or self.warm_start in tasks[:1]:
            return []
        first = f"the first task that it learns, {tasks[0]!r}" if tasks else "a task that it learns (it learns none)"
        return [f"warm_start: expected {first}, but got {self.warm_start!r}"]

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with one more delta; the shared weights are the same tensors as before.

        Raises:
            ValueError: If the task is to have norms of its own and the backbone's have no scales and shifts, or it is
                to start from a mask that is not there.
        """
        weights = {name: state.shared[name] for name in fresh.layout.masked}
        penalty = Zeros(weights, price=self.price) if self.price else None
        trained = fit(self.trainable(state, task, fresh), penalty=penalty)
        if trained.flips() == 0:
            self._warn(task, trained)
        return state.add(task, trained.delta())

    def trainable(self, state: NetState, task: str, fresh: Fresh) -> Masks:
        """Return what `learn` trains, as it starts.

        Args:
            state: As for `learn`.
            task: As for `learn`.
            fresh: As for `learn`.

        Raises:
            ValueError: As `learn` does.
        """
        layout, warm = fresh.layout, None if self.warm_start == task else self.warm_start
        start = self._scores(state, fresh, warm)
        head = fresh.head if warm is None else _head_of(state.deltas[warm], fresh.head)
        norms = own_norms(layout) if self.norm else ()
        return Masks(state.shared, layout.buffers, head, layout.masked, norms, start=start)

    def _scores(self, state: NetState, fresh: Fresh, warm: str | None) -> dict[str, Tensor] | None:
        """Return where scores start; None for the paper's start, of which nothing has to be remembered."""
        if warm is not None:
            return warm_scores(_masks_of(warm, state))
        if self.start == "constant":
            return None
        return scores_by_weight({name: state.shared[name] for name in fresh.layout.masked})

    def _warn(self, task: str, trained: Masks) -> None:
        logger.warning(
            "The finished mask of task `%s` is %s, and only %s was learned. Scores start 5e-3 from the threshold and "
            "move about lr = %g a step. Raise the mask's lr (1e-3 for a small budget) or train for more steps%s.",
            task,
            "as it started" if trained.zeros() else "all ones: it selects the whole backbone",
            "what is beside it" if self.norm else "the head",
            self.lr,
            f", or lower the price of zeros, {self.price:g}" if self.price else "",
        )


def _masks_of(task: str, state: NetState) -> dict[str, BitMask]:
    masks = state.deltas[task].masks if task in state.deltas else {}
    if not masks:
        got = "has none" if task in state.deltas else "is not there"
        raise ValueError(
            f"Expected `warm_start` to name an earlier task with a mask, but {task!r} {got}. "
            f"Learned so far: {listed(state.deltas) or 'none'}."
        )
    return masks


def _head_of(delta: TaskDelta, fresh: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a task's head, or the fresh one where that has another number of output channels."""
    found = {name: delta.entries[name].apply(None) for name in fresh}
    return found if all(found[name].shape == tensor.shape for name, tensor in fresh.items()) else fresh
