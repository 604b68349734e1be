"""Piggyback: one bit a weight over the frozen backbone (Mallya et al. 2018; the paper, Sec. 3)."""

import logging
from dataclasses import dataclass
from typing import ClassVar

from stencilnet.masks import Masks, NetState
from stencilnet.methods.method import Fit, Fresh

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Piggyback:
    """Learns a binary mask over every convolution and linear weight, and a head.

    Attributes:
        lr: Learning rate of the real masks (Adam, no weight decay). 1e-4 is the original's, for its budget of tens of
            thousands of steps; a score starts 5e-3 above the threshold and moves about `lr` a step, so small budgets
            need 1e-3 or more.
    """

    name: ClassVar[str] = "piggyback"
    moves_shared: ClassVar[bool] = False
    forgets: ClassVar[bool] = False
    lr: float = 1e-4

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"Expected the masks' `lr` to be positive, but got {self.lr}.")

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with one more delta; the shared weights are the same tensors as before."""
        trained = fit(Masks(state.shared, fresh.layout.buffers, fresh.head, fresh.layout.masked))
        if trained.zeros() == 0:
            logger.warning(
                "The finished mask of task `%s` is all ones: it selects the whole backbone, and only the head was "
                "learned. Scores start 5e-3 above the threshold and move about lr = %g a step. Raise the mask's lr "
                "(1e-3 for a small budget) or train for more steps.",
                task,
                self.lr,
            )
        return state.add(task, trained.delta())
