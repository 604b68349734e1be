"""Training a quantised delta: real changes of the shared weights, rounded in the forward pass (ours)."""

from collections.abc import Iterable, Mapping
from math import ceil, exp, log2
from typing import Any

import torch
from torch import Tensor, nn

from stencilnet.delta import Entry, Quantized, Seed, Seeded, TaskDelta
from stencilnet.delta.integers import LARGEST as LARGEST_CODE
from stencilnet.masks.applying import moved
from stencilnet.masks.arrays import array_of, tensor_of
from stencilnet.masks.trainable import Trainable

CONTROL_EVERY = 5
"""Training steps between two corrections of the codes' step sizes."""

_GAIN = 0.5
"""Gain of the correction: step sizes grow by a factor of ``exp(_GAIN * (bits - target))``."""

_CODED = 1.02
"""Bits that stored codes take for each bit of their entropy; 1.02 to 1.03 in the shipped bundle."""

_HALVINGS = 24
"""Halvings of the interval in which the initial step sizes are searched for, down to a ten-millionth of it."""

_TINY = torch.finfo(torch.float32).tiny
"""Least step size of a layer, so that a layer whose weights did not move has one too."""


class Codes(Trainable):
    """Small integers for the named weights, and the head; one step size per layer, controlled to a target rate.

    Real changes of the weights are trained. In the first part of a training they are used unrounded. After that each
    is rounded to a multiple of its layer's step size; the gradient passes the rounding unchanged (straight-through).
    Step sizes start in proportion to each layer's mean change, and inversely to a power of the root mean square of its
    gradients until then: weights to which the loss is sensitive are coded finely. Every `CONTROL_EVERY` training steps
    all step sizes are multiplied by one factor, so that the entropy of the codes stays at the target.

    Args:
        shared: State dict of the backbone without its head.
        buffers: Keys of `shared` that are buffers.
        head: The task's initial head, by state-dict key.
        coded: Keys of the weights to code.
        trained: Keys of other parameters that are trained directly.
        target: Entropy of the codes in bits per weight, above 0.
        switch: Share of the training's steps before weights are rounded, in (0, 1).
        sensitivity: Exponent of the gradients' size; 0 ignores the gradients.
        dead: Width of the zero bin, in step sizes; the other bins are one wide.
        seeds: Seeds by key of a coded weight; their weights replace the shared ones. None (default) replaces none.
        start: Initial values by key of `trained`; the shared ones by default.
    """

    steps: Tensor
    _squares: Tensor

    def __init__(
        self,
        shared: Mapping[str, Tensor],
        buffers: Iterable[str],
        head: Mapping[str, Tensor],
        coded: Iterable[str],
        trained: Iterable[str],
        *,
        target: float,
        switch: float,
        sensitivity: float,
        dead: float,
        seeds: Mapping[str, Seed] | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._seeds = {} if seeds is None else dict(seeds)
        drawn = {name: tensor_of(seed.weight(tuple(shared[name].shape))) for name, seed in self._seeds.items()}
        super().__init__({**shared, **drawn, **(start or {})}, buffers, head, trained)
        changed = (*self._buffer_names, *self._trained_names, *self._seeds)
        self._before = {name: shared[name].detach() for name in changed}
        self._coded_names = tuple(coded)
        self._changes = nn.ParameterList(
            nn.Parameter(torch.zeros(shared[name].shape, dtype=torch.float32)) for name in self._coded_names
        )
        self._target, self._switch, self._sensitivity, self._dead = target, switch, sensitivity, dead
        self.register_buffer("steps", torch.zeros(len(self._coded_names)))
        self.register_buffer("_squares", torch.zeros(len(self._coded_names)))

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return changes of weights and other trained parameters (``weight``), and the head (``head``)."""
        return {"weight": [*self._changes, *self._trained], "head": list(self._head)}

    def weights(self) -> dict[str, Tensor]:
        """Return the coded weights, frozen weights and the task's own tensors."""
        weights = self._frozen_weights()
        for name, change, step in zip(self._coded_names, self._changes, self.steps, strict=True):
            rounded: Tensor = _Round.apply(change, step, self._dead)
            weights[name] = moved(weights[name], rounded)
        return weights | self._own_tensors()

    def delta(self) -> TaskDelta:
        """Return one entry of codes per coded tensor, and the task's own tensors."""
        codes = zip(self._coded_names, self._codes(), self.steps, strict=True)
        entries = {
            name: self._entry(name, Quantized(array_of(code), array_of(step.clone()))) for name, code, step in codes
        }
        return TaskDelta(entries | self._own_entries())

    def shared(self) -> dict[str, Tensor]:
        """Return the shared weights, which this training does not change."""
        kept = self._frozen_weights() | self._before
        return {name: kept[name].detach().to("cpu", copy=True) for name in self._shared_names}

    def after_step(self, step: int, steps: int) -> None:
        """Find the step sizes when rounding begins, and correct them every `CONTROL_EVERY` training steps."""
        begin = max(1, round(self._switch * steps))
        if step <= begin:
            self._squares += torch.stack([_mean_square(change) for change in self._changes])
        if step == begin:
            self.steps.copy_(self._fitting_steps())
        elif step > begin and (step - begin) % CONTROL_EVERY == 0:
            self.steps.mul_(exp(_GAIN * (self.bits() - self._target)))

    @property
    def selectable(self) -> bool:
        """Whether weights are rounded; before that there are no codes."""
        return bool(self.steps.any())

    @property
    def expected_growth(self) -> int:
        """Bytes of codes at the target's entropy; codes that are all zero take next to none."""
        return ceil(_CODED * self._target * self.numel / 8)

    def status(self) -> dict[str, float]:
        """Return the codes' entropy in bits per weight (``code/bits``) and their share of zeros (``code/zeros``)."""
        if not self.selectable:
            return {}
        zeros = torch.stack([code.numel() - code.count_nonzero() for code in self._codes()]).sum()
        return {"code/bits": self.bits(), "code/zeros": float(zeros) / self.numel}

    @property
    def settings(self) -> dict[str, Any]:
        """Values other than tensors that affect training, by name."""
        return {
            "code target": self._target,
            "code switch": self._switch,
            "code sensitivity": self._sensitivity,
            "code zero bin": self._dead,
        }

    @property
    def numel(self) -> int:
        """Number of coded weights."""
        return sum(change.numel() for change in self._changes)

    def bits(self) -> float:
        """Return the entropy of the codes, in bits per weight."""
        return self._bits(self.steps)

    def _entry(self, name: str, change: Quantized) -> Entry:
        return Seeded(self._seeds[name], change) if name in self._seeds else change

    def _codes(self) -> list[Tensor]:
        rows = zip(self._changes, self.steps, strict=True)
        return [rounded_to(change.detach(), step, self._dead) for change, step in rows]

    def _bits(self, steps: Tensor) -> float:
        rows = zip(self._changes, steps, strict=True)
        counts = [
            torch.bincount(
                (rounded_to(change.detach(), step, self._dead).int() + LARGEST_CODE).view(-1),
                minlength=2 * LARGEST_CODE + 1,
            )
            for change, step in rows
        ]
        return sum(_entropy(row) for row in torch.stack(counts).tolist()) / max(self.numel, 1)

    def _fitting_steps(self) -> Tensor:
        """Search for the step sizes that reach the target: those of `_proportions`, times one factor."""
        proportions = self._proportions()
        low, high = log2(1 / 1024), log2(1024.0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._bits(2**middle * proportions) > self._target else (low, middle)
        return 2**high * proportions

    def _proportions(self) -> Tensor:
        """Return the layers' mean changes, each divided by a power of its gradients' relative size."""
        means = torch.stack([change.detach().abs().mean() for change in self._changes])
        sizes = self._squares.sqrt()
        relative = torch.where(sizes > 0, sizes / sizes.mean(), 1.0)
        return (means / relative**self._sensitivity).clamp(min=_TINY)


def rounded_to(change: Tensor, step: Tensor, dead: float) -> Tensor:
    """Return changes as int8 multiples of the step size, with a zero bin `dead` steps wide; 0 at a step size of 0."""
    size = (change.abs() / step.clamp(min=_TINY) - (dead / 2 - 1)).floor().clamp(min=0, max=LARGEST_CODE)
    size = torch.where(step > 0, size, 0)
    return torch.where(change < 0, -size, size).to(torch.int8)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, change: Tensor, step: Tensor, dead: float) -> Tensor:
        return torch.where(step > 0, step * rounded_to(change, step, dead), change)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0], None, None


def _mean_square(change: nn.Parameter) -> Tensor:
    gradient = change.grad
    return change.new_zeros(()) if gradient is None else gradient.square().mean()


def _entropy(counts: list[int]) -> float:
    total = sum(counts)
    return -sum(count * log2(count / total) for count in counts if count)
