"""Piggyback: one bit a weight over the frozen backbone (Mallya et al. 2018; the paper, Sec. 3)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

from torch import Tensor

from stencilnet.masks import (
    INITIAL,
    THRESHOLD,
    Affines,
    Binary,
    BitMask,
    Form,
    Masks,
    NetState,
    Replace,
    Scaling,
    Signs,
    Start,
    Ternaries,
    starting_scores,
    starting_signs,
    warmed,
)
from stencilnet.methods.method import Fit, Fresh, own_norms
from stencilnet.methods.thrift import Zeros
from stencilnet.models import Layout

logger = logging.getLogger(__name__)

Mask = Literal["binary", "sign", "ternary", "affine"]


@dataclass(frozen=True, kw_only=True)
class Piggyback:
    """Learns a binary mask over every convolution and linear weight, and a head.

    The defaults are the paper's.
    """

    name: ClassVar[str] = "piggyback"
    moves_shared: ClassVar[bool] = False
    forgets: ClassVar[bool] = False
    lr: float = 1e-4
    """Learning rate of the real masks (Adam, no weight decay). 1e-4 is the original's, for its budget of tens of
    thousands of steps; a score starts 5e-3 above the threshold and moves about `lr` a step, so small budgets need
    1e-3 or more."""
    mask: Mask = "binary"
    """What a task's bits do. ``binary``, the paper's: keep a weight, or put zero. ``sign``: add a step to a weight, or
    subtract it; one step an output channel, trained at the recipe's learning rate. ``ternary``, of two bits: keep a
    weight, put zero, or turn its sign over (Mallya et al. 2018). ``affine``: mix weight, bit and their product by four
    numbers a layer, trained at the recipe's learning rate (Mancini et al. 2018)."""
    norm: bool = False
    """Whether the task trains the scales and shifts of norms too, from the backbone's, and stores its own (the
    original's `train_bn`). Needs a backbone whose norms have some: the U-Net's with `norm: affine`."""
    scaling: Scaling = "none"
    """What gradients of scores are divided by, which are the weights' times W: nothing (the paper), the layer's mean
    ``|W|`` (``average``), or each its own (``individual``). Not for ``sign``, whose gradients know no W."""
    init: Start = "constant"
    """Where scores start: at `init_scale` (``constant``, the paper: all bits are ones), drawn from -`init_scale` to
    `init_scale` (``uniform``; a quarter of the bits are ones at 1e-2), or as far above the threshold as the layer's
    mean ``|W|`` (``weight``). Sign deltas start as far from the threshold, with each weight's own sign."""
    init_scale: float = INITIAL
    """See `init`; the threshold is 5e-3."""
    warm_start: str | None = None
    """An earlier task with a mask to start from: where its bit is zero, a score starts as far below the threshold as it
    would above. The task of that name itself starts without. For ``binary`` and ``affine``."""
    warm_head: bool = False
    """Whether a warm start takes the head along, where it has as many output channels. Two tasks of one kind whose
    heads have a common start are joined by a smoother line of blends (`stencil blend`)."""
    price: float = 0.0
    """What zeros cost (`Zeros`): this, in units of the task's loss before training, for a mask without a one. The fewer
    zeros, the fewer bytes a mask takes on disk. For ``binary``; 0 in the paper."""

    def __post_init__(self) -> None:
        problems = [*self._unknown(), *self._unfit_numbers(), *self._unfit_together()]
        if problems:
            raise ValueError("Expected " + "; ".join(problems) + ".")

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with one more delta; the shared weights are the same tensors as before.

        Raises:
            ValueError: If the task is to have norms of its own and the backbone's have no scales and shifts, or it is
                to start from a mask that is not there.
        """
        trained = fit(self.trainable(state, task, fresh), penalty=self._penalty(state, fresh.layout))
        if trained.flips() == 0:
            self._warn(task, trained)
        return state.add(task, trained.delta())

    def trainable(self, state: NetState, task: str, fresh: Fresh) -> Masks:
        """Return what `learn` trains, as it starts.

        Raises:
            ValueError: As `learn` does.
        """
        layout = fresh.layout
        return Masks(
            state.shared,
            layout.buffers,
            self._head(state, task, fresh),
            layout.masked,
            own_norms(layout) if self.norm else (),
            form=partial(self._form, layout),
            start=self._start(state, task, fresh),
            scaling=self.scaling,
        )

    def _penalty(self, state: NetState, layout: Layout) -> Zeros | None:
        return Zeros({name: state.shared[name] for name in layout.masked}, price=self.price) if self.price else None

    def _form(self, layout: Layout, name: str, weight: Tensor) -> Form:
        match self.mask:
            case "binary":
                return Binary()
            case "sign":
                return Signs(weight, channel=1 if name in layout.transposed else 0)
            case "ternary":
                return Ternaries()
            case "affine":
                return Affines(weight)

    def _start(self, state: NetState, task: str, fresh: Fresh) -> dict[str, Tensor] | None:
        """Return where scores start; None for the paper's start, of which nothing has to be remembered."""
        warm = self._warm(task)
        if self._as_in_paper and self.mask != "sign" and warm is None:
            return None
        weights = {name: state.shared[name].detach().cpu() for name in fresh.layout.masked}
        scores = starting_scores(weights, self.init, self.init_scale, fresh.seed + 1)  # the head took the seed itself
        if self.mask == "sign":
            return {name: starting_signs(tensor, weights[name]) for name, tensor in scores.items()}
        return scores if warm is None else warmed(scores, _masks_of(warm, state))

    def _head(self, state: NetState, task: str, fresh: Fresh) -> Mapping[str, Tensor]:
        """Return where the head starts."""
        warm = self._warm(task)
        if warm is None or not self.warm_head or warm not in state.deltas:
            return fresh.head
        entries = state.deltas[warm].entries
        found = {name: e.tensor for name in fresh.head if isinstance(e := entries.get(name), Replace)}
        fits = all(name in found and found[name].shape == tensor.shape for name, tensor in fresh.head.items())
        return found if fits else fresh.head

    def _warm(self, task: str) -> str | None:
        return None if self.warm_start == task else self.warm_start

    @property
    def _as_in_paper(self) -> bool:
        return self.init == "constant" and self.init_scale == INITIAL

    def _warn(self, task: str, trained: Masks) -> None:
        all_ones = trained.selects and not trained.zeros()
        logger.warning(
            "The finished mask of task `%s` is %s, and only %s was learned. Scores start %sfrom the threshold and move "
            "about lr = %g a step. Raise the mask's lr (1e-3 for a small budget) or train for more steps%s.",
            task,
            "all ones: it selects the whole backbone" if all_ones else "as it started",
            "the head" if trained.groups().keys() == {"mask", "head"} else "what is beside it",
            "5e-3 " if self._as_in_paper else "away ",
            self.lr,
            f", or lower the price of zeros, {self.price:g}" if self.price else "",
        )

    def _unknown(self) -> list[str]:
        choices = {"mask": Mask, "scaling": Scaling, "init": Start}
        return [
            f"`{name}` to be one of {', '.join(get_args(kind))}, but got {getattr(self, name)!r}"
            for name, kind in choices.items()
            if getattr(self, name) not in get_args(kind)
        ]

    def _unfit_numbers(self) -> list[str]:
        problems = []
        if not self.lr > 0:
            problems.append(f"the masks' `lr` to be positive, but got {self.lr}")
        if not self.init_scale > THRESHOLD:
            problems.append(f"`init_scale` to be above the threshold, {THRESHOLD:g}, but got {self.init_scale}")
        if not self.price >= 0:
            problems.append(f"`price` to be at least 0, but got {self.price}")
        if self.init == "weight" and self.init_scale != INITIAL:
            problems.append(f"no `init_scale` with `init: weight`, but got {self.init_scale}")
        return problems

    def _unfit_together(self) -> list[str]:
        problems = []
        if self.mask == "sign" and self.scaling != "none":
            problems.append(f"no `scaling` with `mask: sign`, whose gradients know no W, but got {self.scaling}")
        if self.mask == "sign" and self.init == "uniform":
            problems.append("no `init: uniform` with `mask: sign`, which starts from the weights' own signs")
        if self.warm_start is not None and self.mask not in ("binary", "affine"):
            problems.append(f"`warm_start` to come with `mask: binary` or `affine`, but got {self.mask}")
        if self.warm_head and self.warm_start is None:
            problems.append("`warm_head` to come with `warm_start`, which names the task whose head it is")
        if self.price and self.mask != "binary":
            problems.append(f"`price` to come with `mask: binary`, but got {self.mask}")
        if self.warm_start is not None and self.init == "uniform":
            problems.append("no `warm_start` with `init: uniform`, whose bits are drawn")
        return problems


def _masks_of(task: str, state: NetState) -> dict[str, BitMask]:
    masks = state.deltas[task].masks if task in state.deltas else {}
    if not masks:
        got = "has none" if task in state.deltas else "is not there"
        raise ValueError(
            f"Expected `warm_start` to name an earlier task with a mask, but {task!r} {got}. "
            f"Learned so far: {', '.join(state.deltas) or 'none'}."
        )
    return masks
