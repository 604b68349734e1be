"""Piggyback: one bit a weight over the frozen backbone (Mallya et al. 2018; the paper, Sec. 3)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from stencilnet.masks import INITIAL, Affines, Binary, Form, Masks, NetState, Signs, Ternaries, signed
from stencilnet.methods.method import Fit, Fresh, own_norms
from stencilnet.models import Layout

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Piggyback:
    """Learns a binary mask over every convolution and linear weight, and a head.

    The defaults are the paper's.
    """

    name: ClassVar[str] = "piggyback"
    moves_shared: ClassVar[bool] = False
    lr: float = 1e-4
    """Learning rate of the real masks (Adam, no weight decay). 1e-4 is the original's, for its budget of tens of
    thousands of steps; a score starts 5e-3 above the threshold and moves about `lr` a step, so small budgets need
    1e-3 or more."""
    mask: Literal["binary", "sign", "ternary", "affine"] = "binary"
    """What a task's bits do. ``binary``, the paper's: keep a weight, or put zero. ``sign``: add a step to a weight, or
    subtract it; one step an output channel, trained at the recipe's learning rate. ``ternary``, of two bits: keep a
    weight, put zero, or turn its sign over (Mallya et al. 2018). ``affine``: mix weight, bit and their product by four
    numbers a layer, trained at the recipe's learning rate (Mancini et al. 2018)."""
    norm: bool = False
    """Whether the task trains the scales and shifts of norms too, from the backbone's, and stores its own (the
    original's `train_bn`). Needs a backbone whose norms have some: the U-Net's with `norm: affine`."""

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"Expected the masks' `lr` to be positive, but got {self.lr}.")
        if self.mask not in ("binary", "sign", "ternary", "affine"):
            raise ValueError(f"Expected `mask` to be binary, sign, ternary or affine, but got {self.mask!r}.")

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with one more delta; the shared weights are the same tensors as before.

        Raises:
            ValueError: If the task is to have norms of its own and the backbone's have no scales and shifts.
        """
        layout = fresh.layout
        masks = Masks(
            state.shared,
            layout.buffers,
            fresh.head,
            layout.masked,
            own_norms(layout) if self.norm else (),
            form=partial(self._form, layout),
            start=self._start(state, layout),
        )
        trained = fit(masks)
        if trained.flips() == 0:
            self._warn(task, trained)
        return state.add(task, trained.delta())

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

    def _start(self, state: NetState, layout: Layout) -> Mapping[str, Tensor] | None:
        if self.mask != "sign":
            return None
        weights = {name: state.shared[name].detach() for name in layout.masked}
        return {name: signed(torch.full(w.shape, INITIAL, device=w.device), w) for name, w in weights.items()}

    def _warn(self, task: str, trained: Masks) -> None:
        logger.warning(
            "The finished mask of task `%s` is %s, and only the head was learned. Scores start 5e-3 from the threshold "
            "and move about lr = %g a step. Raise the mask's lr (1e-3 for a small budget) or train for more steps.",
            task,
            "all ones: it selects the whole backbone" if trained.selects else "as it started",
            self.lr,
        )
