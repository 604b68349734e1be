"""Quantised deltas: fine-tuning whose changes are small integers, at half a bit per weight (ours; docs/paper.md)."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal, get_args

from stencilnet.delta import Seed
from stencilnet.masks import Codes, NetState
from stencilnet.methods.method import Fit, Fresh, Method
from stencilnet.text.fields import check_fields

Base = Literal["backbone", "seed"]


@dataclass(frozen=True, kw_only=True)
class QuantizedDelta(Method):
    """Changes every convolution and linear weight by a small multiple of its layer's step size, and learns a head.

    In the first part of the training a copy of the network is fine-tuned freely. In the rest each weight is
    ``W + step * code``, with a straight-through gradient, and the step sizes keep the entropy of the codes at `target`.
    Only evaluations of the quantised network select the result. The shared weights do not change.
    """

    name: ClassVar[str] = "quantized_delta"
    title: ClassVar[str] = "quantised delta"
    target: float = 0.48
    """Entropy of the codes, in bits per weight. A bundle takes at most 1.02 times as many. With head, biases and file
    header, the default gave 0.55 bits per weight at width 16."""
    switch: float = 0.3
    """Share of the recipe's steps for free fine-tuning, before weights are rounded."""
    sensitivity: float = 0.4
    """How much finer layers with larger gradients are quantised: the step size of a layer is proportional to the root
    mean square of its gradients to the power of ``-sensitivity``. 0 treats all layers alike."""
    dead: float = 1.3
    """Width of the zero bin, in step sizes: smaller changes than half of it are rounded to 0."""
    base: Base = "backbone"
    """The weights to which the codes are added. ``backbone``: the shared weights. ``seed``: random weights generated
    from `base_seed`, the same on every machine, drawn like the initial weights of `scratch`; for tasks to which the
    backbone is of no use. Choose it on validation data."""
    base_seed: int = 1
    """The seed for ``base: seed``. Tasks with the same seed share these weights in memory. Results differ by several
    per cent between seeds: choose it on validation data, too."""

    def __post_init__(self) -> None:
        check_fields(
            ("target", self.target > 0, f"to be positive, but got {self.target}"),
            ("switch", 0 < self.switch < 1, f"to be between 0 and 1, but got {self.switch}"),
            ("sensitivity", 0 <= self.sensitivity < inf, f"to be finite and at least 0, but got {self.sensitivity}"),
            ("dead", self.dead > 0, f"to be positive, but got {self.dead}"),
            ("base", self.base in get_args(Base), f"to be backbone or seed, but got {self.base!r}"),
            ("base_seed", self.base_seed >= 0, f"to be at least 0, but got {self.base_seed}"),
            owner="the quantised delta's",
        )

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with one more delta; the shared weights are the same tensors as before."""
        layout, seeds = fresh.layout, self._seeds(state, fresh)
        trained = [name for name in layout.parameters if name not in {*layout.masked, *layout.inert}]
        codes = Codes(
            state.shared,
            layout.buffers,
            fresh.head,
            layout.masked,
            trained,
            target=self.target,
            switch=self.switch,
            sensitivity=self.sensitivity,
            dead=self.dead,
            seeds=seeds,
            start={name: fresh.shared[name] for name in trained} if seeds else None,
        )
        return state.add(task, fit(codes).delta())

    def _seeds(self, state: NetState, fresh: Fresh) -> dict[str, Seed]:
        """Return the seeds that replace the shared weights, by key; none for ``base: backbone``."""
        if self.base == "backbone":
            return {}
        shapes = {name: tuple(state.shared[name].shape) for name in fresh.layout.masked}
        return {name: Seed.of(self.base_seed, name, shape) for name, shape in shapes.items()}
