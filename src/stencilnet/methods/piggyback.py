"""Piggyback: one bit per weight over the frozen backbone (Mallya et al. 2018; the paper, Sec. 3)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from stencilnet.delta import BitMask, TaskDelta
from stencilnet.masks import Masks, NetState, applied, scores_by_weight, warm_scores
from stencilnet.methods.method import Fit, Fresh, Masking, Method, own_norms
from stencilnet.methods.zero_penalty import ZeroPenalty
from stencilnet.text.fields import check_fields
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
    """Learning rate of the real masks (Adam, no weight decay). 1e-4 is the original's, for tens of thousands of steps.
    A score starts 5e-3 above the threshold and moves by about `lr` per step, so shorter trainings need more: at 450
    steps 8e-3 and 1.6e-2 were best."""
    norm: bool = False
    """Whether the task also trains and stores its own scales and shifts of norms, starting from the backbone's (the
    original's `train_bn`). Needs a backbone whose norms have some: the U-Net with `norm: own` or `affine`."""
    warm_start: str | None = None
    """Name of an earlier task with a mask to start from: where its bit is zero, a score starts as far below the
    threshold as it otherwise would above. The new head also starts from that task's if it has as many output channels;
    blends of two tasks (`stencil blend`) are smoother if their heads have a common start. The named task itself has no
    warm start."""
    start: Start = "constant"
    """Initial scores. ``constant``, as in the paper: all 5e-3 above the threshold. ``weight``: 5e-3 above for a weight
    of its layer's mean absolute value, and in proportion for the others, so that small weights are switched off first.
    It was a few per cent better where measured (docs/results/quality.md)."""
    price: float = 0.0
    """Penalty of a mask that is all zeros, in units of the task's loss before training; in proportion for fewer zeros
    (see `ZeroPenalty`). Fewer zeros take fewer bytes on disk. 0 in the paper."""

    def __post_init__(self) -> None:
        starts = get_args(Start)
        both = self.start == "weight" and self.warm_start is not None
        check_fields(
            ("lr", self.lr > 0, f"to be positive, but got {self.lr}"),
            ("start", self.start in starts, f"to be one of {', '.join(starts)}, but got {self.start!r}"),
            ("", not both, "`start: weight` or `warm_start`, not both"),
            ("price", self.price >= 0, f"to be at least 0, but got {self.price}"),
            owner="Piggyback's",
        )

    @property
    def trains_norms(self) -> bool:
        """The setting `norm`."""
        return self.norm

    @property
    def mask_lr(self) -> float:
        """The setting `lr`."""
        return self.lr

    def prerequisites(self, task: str, learned_before: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 (one for all)
        """Return the task of the warm start, if any."""
        return () if self.warm_start in (None, task) else (self.warm_start,)

    def order_problems(self, tasks: tuple[str, ...]) -> list[str]:
        """Return a problem if the warm start is not the first task, since tasks before it could not start from it."""
        if self.warm_start is None or self.warm_start in tasks[:1]:
            return []
        first = f"the first task that it learns, {tasks[0]!r}" if tasks else "a task that it learns (it learns none)"
        return [f"warm_start: expected {first}, but got {self.warm_start!r}"]

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with one more delta; the shared weights are the same tensors as before.

        Raises:
            ValueError: If `norm` is set and the backbone's norms have no scales and shifts, or the task of `warm_start`
                has no mask.
        """
        weights = {name: state.shared[name] for name in fresh.layout.masked}
        penalty = ZeroPenalty(weights, price=self.price) if self.price else None
        trained = fit(self.trainable(state, task, fresh), penalty=penalty)
        if trained.flips() == 0:
            self._warn(task, trained)
        return state.add(task, trained.delta())

    def trainable(self, state: NetState, task: str, fresh: Fresh) -> Masks:
        """Return what `learn` trains, in its initial state.

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
        """Return the initial scores; None for the paper's constant ones, which need no memory."""
        if warm is not None:
            return warm_scores(_masks_of(warm, state))
        if self.start == "constant":
            return None
        return scores_by_weight({name: state.shared[name] for name in fresh.layout.masked})

    def _warn(self, task: str, trained: Masks) -> None:
        logger.warning(
            "The final mask of task `%s` is %s, and only %s was learned. Scores start 5e-3 from the threshold and "
            "move by about lr = %g per step. Raise the mask's lr (1e-3 for few steps) or train for more steps%s.",
            task,
            "unchanged" if trained.zeros() else "all ones: it selects the whole backbone",
            "the head with the norms" if self.norm else "the head",
            self.lr,
            f", or lower the price of zeros, {self.price:g}" if self.price else "",
        )


def _masks_of(task: str, state: NetState) -> dict[str, BitMask]:
    masks = state.deltas[task].masks if task in state.deltas else {}
    if not masks:
        got = "has none" if task in state.deltas else "does not exist"
        raise ValueError(
            f"Expected `warm_start` to name an earlier task with a mask, but {task!r} {got}. "
            f"Learned so far: {listed(state.deltas) or 'none'}."
        )
    return masks


def _head_of(delta: TaskDelta, fresh: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a task's head, or the new one if their numbers of output channels differ."""
    found = {name: applied(delta.entries[name], None) for name in fresh}
    return found if all(found[name].shape == tensor.shape for name, tensor in fresh.items()) else fresh
