"""A task before its scores are thresholded, and interpolation between two such tasks (ours)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stencilnet.delta import BitMask, Entry, Replace, Select, TaskDelta
from stencilnet.masks.arrays import array_of
from stencilnet.masks.binarize import binarize


@dataclass(frozen=True, eq=False)
class RealTask:
    """The trained form of a masked task: real scores, and the tensors it has of its own.

    Attributes:
        scores: Real masks by state-dict key, float32, on the CPU, in network order.
        own: The task's own tensors by key: head, norms, running statistics.
    """

    scores: Mapping[str, Tensor]
    own: Mapping[str, Tensor]

    def delta(self) -> TaskDelta:
        """Return the task as it is used, with one bit per score."""
        selected: dict[str, Entry] = {name: Select(BitMask.pack(binarize(real))) for name, real in self.scores.items()}
        return TaskDelta(selected | {name: Replace(array_of(tensor)) for name, tensor in self.own.items()})


def between(first: RealTask, second: RealTask, share: float) -> RealTask:
    """Interpolate linearly between the scores of two tasks over one backbone.

    Bits cannot be interpolated, but scores can: a bit in which the tasks differ flips where its score crosses the
    threshold, so few bits flip at a time.

    Args:
        first: The task at `share` 0, bit for bit.
        second: The task at `share` 1, bit for bit.
        share: Position between the tasks, from 0 to 1.

    Raises:
        ValueError: If `share` is out of range, or the tasks differ in their masked weights, in their own tensors or in
            their heads' channels.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"Expected argument `share` to be from 0 to 1, but got {share}.")
    return RealTask(
        scores=_between(first.scores, second.scores, share),
        own=_between(first.own, second.own, share),
    )


def _between(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    unlike = [name for name in first.keys() | second.keys() if _form(first.get(name)) != _form(second.get(name))]
    if unlike:
        name = min(unlike)
        raise ValueError(
            f"Expected two tasks with the same tensors, but `{name}` is {_form(first.get(name))} in the first and "
            f"{_form(second.get(name))} in the second. Only tasks of one backbone, norm setting and number of output "
            "channels can be interpolated."
        )
    return {name: _mixed(tensor, second[name], share) for name, tensor in first.items()}


def _mixed(first: Tensor, second: Tensor, share: float) -> Tensor:
    if first.is_floating_point():
        return torch.lerp(first, second, share)  # exact at both ends
    return first if share < 0.5 else second  # a count, such as batch norm's


def _form(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
