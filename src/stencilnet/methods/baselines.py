"""The paper's three baselines (Sec. 4.1, Fig. 3)."""

from dataclasses import dataclass
from typing import ClassVar

from stencilnet.masks import NetState, Weights
from stencilnet.methods.method import Fit, Fresh, Method


@dataclass(frozen=True, kw_only=True)
class Scratch(Method):
    """Trains a separate network for each task, from random weights."""

    name: ClassVar[str] = "scratch"
    title: ClassVar[str] = "scratch"
    colour: ClassVar[str] = "#009e73"

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with a delta that holds every tensor of the network."""
        trained = fit(Weights(fresh.shared, fresh.layout.buffers, fresh.head, fresh.layout.parameters))
        return state.add(task, trained.delta())


@dataclass(frozen=True, kw_only=True)
class Finetune(Method):
    """Continues training the one shared network; every task's head is kept, so that old tasks can be tested again."""

    name: ClassVar[str] = "finetune"
    title: ClassVar[str] = "fine-tune"
    colour: ClassVar[str] = "#d55e00"
    moves_shared: ClassVar[bool] = True
    forgets: ClassVar[bool] = True
    needs_trained_backbone: ClassVar[bool] = True

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with moved shared weights and the task's head."""
        trained = fit(Weights(state.shared, fresh.layout.buffers, fresh.head, fresh.layout.parameters))
        return state.move(trained.shared()).add(task, trained.head_delta())


@dataclass(frozen=True, kw_only=True)
class Decoder(Method):
    """Trains a separate decoder for each task over the first task's frozen encoder, from random weights."""

    name: ClassVar[str] = "decoder"
    title: ClassVar[str] = "decoder"
    colour: ClassVar[str] = "#cc79a7"
    needs_decoder: ClassVar[bool] = True

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with a delta that holds the decoder and the head."""
        decoder = fresh.layout.decoder
        if not decoder:
            raise ValueError("Expected a backbone with a decoder, but its `decoder` prefixes are empty. Pass them.")
        start = {**state.shared, **{name: fresh.shared[name] for name in decoder}}
        buffers = fresh.layout.buffers
        trained = fit(Weights(start, buffers, fresh.head, [name for name in decoder if name not in buffers]))
        return state.add(task, trained.delta())
