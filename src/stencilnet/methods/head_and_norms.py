"""Methods with tiny deltas, a head or a head and norms: the lower baselines that masks have to beat."""

from dataclasses import dataclass
from typing import ClassVar

from stencilnet.masks import NetState, Weights
from stencilnet.methods.method import Fit, Fresh, Method, own_norms


@dataclass(frozen=True, kw_only=True)
class HeadOnly(Method):
    """Trains a head over the frozen backbone, and nothing else (a linear probe)."""

    name: ClassVar[str] = "head_only"
    title: ClassVar[str] = "head only"

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with a delta that holds the head and the running statistics that training moved."""
        trained = fit(Weights(state.shared, fresh.layout.buffers, fresh.head, ()))
        return state.add(task, trained.delta())


@dataclass(frozen=True, kw_only=True)
class NormOnly(Method):
    """Trains the scales and shifts of all norms, and a head, over frozen convolutions (Bilen & Vedaldi 2017).

    Needs a backbone whose norms have scales and shifts, such as the U-Net with ``norm: own`` or ``affine``.
    """

    name: ClassVar[str] = "norm_only"
    title: ClassVar[str] = "norm only"

    @property
    def trains_norms(self) -> bool:
        """Always true."""
        return True

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with a delta that holds scales, shifts, running statistics and the head.

        Raises:
            ValueError: If the backbone's norms have no scales and shifts.
        """
        trained = fit(Weights(state.shared, fresh.layout.buffers, fresh.head, own_norms(fresh.layout)))
        return state.add(task, trained.delta())
