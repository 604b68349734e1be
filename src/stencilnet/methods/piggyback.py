"""Piggyback: one bit a weight over the frozen backbone (Mallya et al. 2018; the paper, Sec. 3)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.masks import (
    INITIAL,
    Affines,
    Binary,
    BitMask,
    Form,
    Masks,
    NetState,
    Replace,
    Scaling,
    Signs,
    Ternaries,
    Weights,
    starting_scores,
    starting_signs,
    warmed,
)
from stencilnet.methods.imitation import Imitation
from stencilnet.methods.mask_options import SHARE, Init, Mask, mistakes
from stencilnet.methods.method import Fit, Fresh, own_norms
from stencilnet.methods.penalty import Penalty
from stencilnet.methods.thrift import Zeros
from stencilnet.models import Layout
from stencilnet.text.shortening import listed

logger = logging.getLogger(__name__)


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
    original's `train_bn`). Needs a backbone whose norms have some: the U-Net's with `norm: own` or `affine`."""
    scaling: Scaling = "none"
    """What gradients of scores are divided by, which are the weights' times W: nothing (the paper), the layer's mean
    ``|W|`` (``average``), or each its own (``individual``). Not for ``sign``, whose gradients know no W."""
    init: Init = "constant"
    """Where scores start: at `init_scale` (``constant``, the paper: all bits are ones), drawn from -`init_scale` to
    `init_scale` (``uniform``; a quarter of the bits are ones at 1e-2), or as far above the threshold as the layer's
    mean ``|W|`` (``weight``). Sign deltas start as far from the threshold, with each weight's own sign; or they take
    signs and steps from a fine-tune of the weights (``finetune``; BitDelta, Liu et al. 2024), and its norms, if the
    task has any, and head too: signs then stay, `lr` has no say, and the rest is trained on."""
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
    teacher: float = 0.0
    """What it costs to differ from a network that is fine-tuned first, from the shared weights on the same data, and
    dropped in the end (`Imitation`): this, in units of the task's loss before training, for as far as the mask is from
    it then; 0, the paper: there is none. A step of the mask takes more than twice as long with it."""
    finetune_share: float = SHARE
    """Of the recipe's steps, those that fine-tune first, for `teacher` or ``init: finetune``; the mask has the rest, to
    a step the same budget."""

    def __post_init__(self) -> None:
        if problems := mistakes(self):
            raise ValueError("Expected " + "; ".join(problems) + ".")

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with one more delta; the shared weights are the same tensors as before.

        Raises:
            ValueError: If the task is to have norms of its own and the backbone's have no scales and shifts, or it is
                to start from a mask that is not there.
        """
        tuned = self._finetuned(state, fresh, fit) if self.finetunes else {}
        masks = self.trainable(state, task, fresh, tuned)
        share = 1 - self.finetune_share if self.finetunes else 1.0
        trained = fit(masks, penalty=self._penalty(state, task, fresh, tuned, masks), share=share)
        if trained.flips() == 0 and self.init != "finetune":
            self._warn(task, trained)
        return state.add(task, trained.delta())

    def trainable(self, state: NetState, task: str, fresh: Fresh, tuned: Mapping[str, Tensor] | None = None) -> Masks:
        """Return what `learn` trains last, as it starts.

        Args:
            state: As for `learn`.
            task: As for `learn`.
            fresh: As for `learn`.
            tuned: Weights of a fine-tune, for ``init: finetune``.

        Raises:
            ValueError: As `learn` does.
        """
        layout, signs = fresh.layout, tuned if self.init == "finetune" else None
        changes = {n: signs[n] - state.shared[n].detach().cpu() for n in layout.masked} if signs is not None else {}
        return Masks(
            state.shared,
            layout.buffers,
            self._head(state, task, fresh),
            layout.masked,
            own_norms(layout) if self.norm else (),
            form=partial(self._form, layout, changes),
            start=self._start(state, task, fresh, changes),
            scaling=self.scaling,
            own=signs,
            fixed=signs is not None,
        )

    @property
    def finetunes(self) -> bool:
        """Whether a part of the steps fine-tunes a network, before the mask is trained."""
        return bool(self.teacher) or self.init == "finetune"

    def _finetuned(self, state: NetState, fresh: Fresh, fit: Fit) -> dict[str, Tensor]:
        """Return fine-tuned weights of the whole network, on the CPU; for signs, of what they can take over alone."""
        layout = fresh.layout
        own = (*layout.masked, *(own_norms(layout) if self.norm else ()))
        trained = own if self.init == "finetune" else layout.parameters
        network = fit(Weights(state.shared, layout.buffers, fresh.head, trained), share=self.finetune_share)
        return {name: tensor.detach().cpu() for name, tensor in network.weights().items()}

    def _penalty(
        self, state: NetState, task: str, fresh: Fresh, tuned: Mapping[str, Tensor], masks: Masks
    ) -> Penalty | None:
        if self.price:
            return Zeros({name: state.shared[name] for name in fresh.layout.masked}, price=self.price)
        if not self.teacher:
            return None
        if fresh.probe is None:
            raise ValueError(
                f"Expected a `probe` of {task!r}: how far a mask is from its teacher is measured on its inputs."
            )
        student = masks.weights()
        return Imitation(tuned, student, logits=fresh.logits(task), strength=self.teacher, probe=fresh.probe)

    def _form(self, layout: Layout, changes: Mapping[str, Tensor], name: str, weight: Tensor) -> Form:
        match self.mask:
            case "binary":
                return Binary()
            case "sign":
                return Signs(weight, channel=1 if name in layout.transposed else 0, change=changes.get(name))
            case "ternary":
                return Ternaries()
            case "affine":
                return Affines(weight)

    def _start(
        self, state: NetState, task: str, fresh: Fresh, changes: Mapping[str, Tensor]
    ) -> dict[str, Tensor] | None:
        """Return where scores start; None for the paper's start, of which nothing has to be remembered."""
        if self.init == "finetune":
            return {name: starting_signs(torch.full(change.shape, INITIAL), change) for name, change in changes.items()}
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


def _masks_of(task: str, state: NetState) -> dict[str, BitMask]:
    masks = state.deltas[task].masks if task in state.deltas else {}
    if not masks:
        got = "has none" if task in state.deltas else "is not there"
        raise ValueError(
            f"Expected `warm_start` to name an earlier task with a mask, but {task!r} {got}. "
            f"Learned so far: {listed(state.deltas) or 'none'}."
        )
    return masks
