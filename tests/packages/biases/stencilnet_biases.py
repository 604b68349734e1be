"""A method of another package: tasks are biases over frozen weights (BitFit, Zaken et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from stencilnet.masks import NetState, Weights
from stencilnet.methods import Fit, Fresh, Method


@dataclass(frozen=True, kw_only=True)
class Biases(Method):
    """Trains biases and a head, and nothing else."""

    name: ClassVar[str] = "biases"
    title: ClassVar[str] = "biases only"
    colour: ClassVar[str] = "#123456"
    part: Literal["all", "decoder"] = "all"
    """Whose biases."""

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with a delta that holds biases and the head."""
        names = fresh.layout.parameters if self.part == "all" else fresh.layout.decoder
        biases = [name for name in names if name.endswith(".bias")]
        trained = fit(Weights(state.shared, fresh.layout.buffers, fresh.head, biases))
        return state.add(task, trained.delta())
