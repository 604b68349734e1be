"""A task as plain data: one entry for each state-dict key in which it differs from the shared weights."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from stencilnet.delta.columns import column_key, lateral_of, needed
from stencilnet.delta.entries import Entry, Replace
from stencilnet.delta.packing import BitMask
from stencilnet.delta.spec import Array, Spec
from stencilnet.delta.weight_codes import WeightCodes
from stencilnet.text.shortening import shorten

T = TypeVar("T")


class DeltaError(ValueError):
    """A delta does not fit the weights it is applied to. The message is shortened, since its names come from files."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, 1000))


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Turn the ValueError of an entry that does not fit its shared weight into a DeltaError that names the key."""
    try:
        yield
    except ValueError as error:
        raise DeltaError(f"The task's entry for `{key}` does not fit this backbone: {error}") from error


@dataclass(frozen=True, eq=False)
class TaskDelta:
    """What one task changes.

    Attributes:
        entries: Entries by state-dict key, in network order, with the adapters of a progressive net (`delta.columns`).
    """

    entries: Mapping[str, Entry]

    def apply(self, shared: Mapping[str, Array]) -> dict[str, Array]:
        """Return the task's full set of weights; `shared` is read, never written.

        Keys without an entry keep the shared tensors themselves, not copies.

        Raises:
            DeltaError: If an entry does not fit its shared weight; the message names the key.
            TypeError: If `shared` holds something other than NumPy arrays.
        """
        others = sorted({type(weight).__name__ for weight in shared.values() if not isinstance(weight, np.ndarray)})
        if others:
            raise TypeError(
                f"Expected argument `shared` to hold NumPy arrays, but got {', '.join(others)}. "
                "stencilnet.masks.task_weights takes PyTorch's tensors."
            )
        weights = dict(shared)
        for key, entry in self.entries.items():
            with naming(key):
                weights[key] = entry.apply(shared.get(key))
        return weights

    def check(self, shared: Mapping[str, Spec], head: Mapping[str, Spec]) -> None:
        """Refuse a delta made for other weights: `torch.func.functional_call` accepts any name and shape silently.

        Args:
            shared: Specs of the backbone's weights without its head, by state-dict key.
            head: Specs of its own head; a task's head has the same keys and shapes except for the output channels.

        Raises:
            DeltaError: If a key, shape or dtype does not fit, or part of the head is missing.
        """
        missing = [key for key in head if key not in self.entries]
        if missing:
            raise DeltaError(f"Expected the delta to hold the task's whole head, but {missing} is missing.")
        for key, entry in self.entries.items():
            lateral = lateral_of(key)
            if lateral is not None:
                _check_lateral(key, entry, shared.get(lateral[1]))
                continue
            if key not in shared and key not in head:
                raise DeltaError(
                    f"The delta has an entry for `{key}`, which this backbone lacks. Is it another backbone's task?"
                )
            reference = head[key] if key in head else shared[key]
            free = 1 if key in head else 0  # a head may have any number of output channels
            if entry.shape[free:] != reference.shape[free:] or len(entry.shape) != len(reference.shape):
                raise DeltaError(
                    f"Expected the delta's `{key}` to have the shape {reference.shape}, "
                    f"but got {tuple(entry.shape)}. Is it another backbone's task?"
                )
            if key in head and not isinstance(entry, Replace):
                raise DeltaError(
                    f"Expected the delta to replace the head's `{key}`, but got a {entry.KIND} entry, which needs a "
                    "shared weight. Every task has a head of its own: store it whole."
                )
            if isinstance(entry, Replace) and entry.tensor.dtype.name != reference.dtype:
                raise DeltaError(f"Expected the delta's `{key}` to be {reference.dtype}, but got {entry.tensor.dtype}.")

    @property
    def needs(self) -> tuple[str, ...]:
        """Earlier tasks that this one needs to run: its adapters read their columns."""
        return needed(self.entries)

    @property
    def masks(self) -> dict[str, BitMask]:
        """Masks of the weights that the task keeps, by key, in network order; empty if it selects nothing."""
        return {key: kept for key, entry in self.entries.items() if (kept := entry.kept) is not None}

    @property
    def weight_codes(self) -> dict[str, WeightCodes]:
        """What the task does to each shared weight, by key, in network order; empty if it has no codes."""
        return {key: codes for key, entry in self.entries.items() if (codes := entry.weight_codes) is not None}

    @property
    def nbytes(self) -> int:
        """Bytes of all entries, masks at one bit per weight: at least their size on disk, file header aside."""
        return sum(entry.nbytes for entry in self.entries.values())


def with_columns(
    task: str, deltas: Mapping[str, TaskDelta], weights: Callable[[TaskDelta], Mapping[str, T]]
) -> dict[str, T]:
    """Return the full weights of a task, with the columns that it needs under prefixed keys (`delta.columns`).

    Args:
        task: The task.
        deltas: Deltas by task name.
        weights: Returns a task's own weights.

    Raises:
        DeltaError: If a needed task is missing, the columns are incomplete or in the wrong order, or an entry does not
            fit.
    """
    delta = deltas[task]
    missing = [need for need in delta.needs if need not in deltas]
    if missing:
        raise DeltaError(
            f"Task `{task}` needs the columns of other tasks, but there is no {', '.join(missing)}. "
            "Install them too, or remove the task."
        )
    for place, need in enumerate(delta.needs):
        unrun = set(deltas[need].needs) - set(delta.needs[:place])
        if unrun:
            raise DeltaError(
                f"Expected `{task}` to run through {', '.join(sorted(unrun))} before `{need}`, which needs them, but "
                "its adapters are in another order, or lack them. Is its file damaged? Learn the task again."
            )
    columns = {column_key(need, key): tensor for need in delta.needs for key, tensor in weights(deltas[need]).items()}
    return columns | dict(weights(delta))


def _check_lateral(key: str, entry: Entry, weight: Spec | None) -> None:
    """Refuse an adapter that is not a 1x1 convolution with the channels of its level's convolution."""
    if weight is None or len(weight.shape) != 4:
        raise DeltaError(
            f"The delta has an adapter `{key}` at a level that this backbone lacks. Is it another backbone's task?"
        )
    shape = (*weight.shape[:2], 1, 1)
    if not isinstance(entry, Replace) or tuple(entry.shape) != shape or entry.tensor.dtype.name != weight.dtype:
        raise DeltaError(
            f"Expected the delta's `{key}` to be a {weight.dtype} tensor of shape {shape}, but got a {entry.KIND} of "
            f"shape {tuple(entry.shape)}. Is it another backbone's task?"
        )
