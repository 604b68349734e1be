"""A task as plain data: one entry for each state-dict key in which it differs from the shared weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stencilnet.masks.columns import lateral_of, needed
from stencilnet.masks.entries import Entry, Replace, Select, write_selected
from stencilnet.masks.packing import BitMask
from stencilnet.masks.weight_codes import WeightCodes
from stencilnet.text.shortening import shorten


class DeltaError(ValueError):
    """A delta does not fit the weights it is applied to. The message is shortened, since its names come from files."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, 1000))


@dataclass(frozen=True, eq=False)
class TaskDelta:
    """What one task changes.

    Attributes:
        entries: Entries by state-dict key, in network order, with the adapters of a progressive net (`masks.columns`).
    """

    entries: Mapping[str, Entry]

    def apply(self, shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the task's full set of weights; `shared` is read, never written.

        Keys without an entry keep the shared tensors themselves, not copies.

        Raises:
            DeltaError: If an entry does not fit its shared weight; the message names the key.
        """
        weights = dict(shared)
        for key, entry in self.entries.items():
            try:
                weights[key] = entry.apply(shared.get(key))
            except ValueError as error:
                raise DeltaError(f"The task's entry for `{key}` does not fit this backbone: {error}") from error
        return weights

    def write(self, shared: Mapping[str, Tensor], out: Mapping[str, Tensor]) -> None:
        """Write the result of `apply` into the tensors of `out`, of the same keys, shapes and dtypes, on one device.

        Call `check` first: an entry that does not fit raises after a part of `out` has been written.
        """
        selects = {key: entry for key in out if isinstance(entry := self.entries.get(key), Select)}
        copied = [key for key in out if key not in self.entries]
        with torch.no_grad():
            write_selected(list(selects.values()), [shared.get(key) for key in selects], [out[key] for key in selects])
            for key, entry in self.entries.items():
                if key in out and key not in selects:
                    entry.write(shared.get(key), out[key])
            if copied:
                torch._foreach_copy_([out[key] for key in copied], [shared[key] for key in copied])

    def check(self, shared: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> None:
        """Refuse a delta made for other weights: `torch.func.functional_call` accepts any name and shape silently.

        Args:
            shared: State dict of the backbone without its head.
            head: The backbone's own head; a task's head has the same keys and shapes except for the output channels.

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
            if entry.shape[free:] != reference.shape[free:] or len(entry.shape) != reference.dim():
                raise DeltaError(
                    f"Expected the delta's `{key}` to have the shape {tuple(reference.shape)}, "
                    f"but got {tuple(entry.shape)}. Is it another backbone's task?"
                )
            if key in head and not isinstance(entry, Replace):
                raise DeltaError(
                    f"Expected the delta to replace the head's `{key}`, but got a {entry.KIND} entry, which needs a "
                    "shared weight. Every task has a head of its own: store it whole."
                )
            if isinstance(entry, Replace) and entry.tensor.dtype != reference.dtype:
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


def _check_lateral(key: str, entry: Entry, weight: Tensor | None) -> None:
    """Refuse an adapter that is not a 1x1 convolution with the channels of its level's convolution."""
    if weight is None or weight.dim() != 4:
        raise DeltaError(
            f"The delta has an adapter `{key}` at a level that this backbone lacks. Is it another backbone's task?"
        )
    shape = (*weight.shape[:2], 1, 1)
    if not isinstance(entry, Replace) or tuple(entry.shape) != shape or entry.tensor.dtype != weight.dtype:
        raise DeltaError(
            f"Expected the delta's `{key}` to be a {weight.dtype} tensor of shape {shape}, but got a {entry.KIND} of "
            f"shape {tuple(entry.shape)}. Is it another backbone's task?"
        )
