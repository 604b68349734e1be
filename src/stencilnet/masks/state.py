"""The network and everything it has learned, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from stencilnet.delta import DeltaError, Stored, TaskDelta, grown
from stencilnet.delta.delta import with_columns
from stencilnet.delta.rounding import rounded
from stencilnet.masks.applying import task_weights
from stencilnet.masks.arrays import arrays_of, tensors_of


@dataclass(frozen=True, eq=False)
class NetState:
    """Shared weights and the tasks' deltas. Learning returns a new state; the old one does not change.

    Attributes:
        shared: State dict of the backbone without its head (every task has its own head).
        deltas: Deltas by task name, in the order of learning.
        memory: Tensors needed to learn further tasks but not to run any, by names that their method chooses. Bundles
            never contain them.
        stored: The form in which a bundle stores the shared weights, which have been rounded to it.
    """

    shared: Mapping[str, Tensor]
    deltas: Mapping[str, TaskDelta] = field(default_factory=dict)
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    stored: Stored = "float32"

    def add(self, task: str, delta: TaskDelta) -> "NetState":
        """Return the state with one more task.

        Raises:
            DeltaError: If a task of that name exists: learned tasks are never overwritten.
        """
        if task in self.deltas:
            raise DeltaError(f"Task `{task}` has been learned already. Remove it first, or use another name.")
        return replace(self, deltas=grown(self.deltas, task, delta))

    def remove(self, task: str) -> "NetState":
        """Return the state without a task; the others keep their outputs bit for bit.

        Raises:
            DeltaError: If there is no such task, or another task needs it.
        """
        self._known(task)
        needing = [name for name, delta in self.deltas.items() if task in delta.needs]
        if needing:
            raise DeltaError(
                f"Expected a task that no other needs, but {', '.join(needing)} run through the column of `{task}`. "
                "Remove them first."
            )
        return replace(self, deltas={name: delta for name, delta in self.deltas.items() if name != task})

    def move(self, shared: Mapping[str, Tensor]) -> "NetState":
        """Return the state over new shared weights; earlier tasks then run on weights they were not trained with."""
        return replace(self, shared=dict(shared), stored="float32")

    def round(self, stored: Stored) -> "NetState":
        """Return the state with its shared weights rounded to a form that a bundle stores in fewer bytes.

        Call it once, before learning further tasks: earlier tasks then run on weights they were not trained with.

        The rounded weights are on the CPU.

        Raises:
            ValueError: If a weight is not finite, or too large for the form.
        """
        return replace(self, shared=tensors_of(rounded(arrays_of(self.shared), stored)), stored=stored)

    def remember(self, tensors: Mapping[str, Tensor]) -> "NetState":
        """Return the state with more tensors in its memory; a tensor with an existing name replaces the old one."""
        return replace(self, memory={**self.memory, **tensors})

    def weights(self, task: str) -> dict[str, Tensor]:
        """Return the full weights of one task; in a progressive net they include the columns that it needs.

        Raises:
            DeltaError: If there is no such task, or a task that it needs is missing.
        """
        self._known(task)
        return whole_weights(task, self.deltas, self.shared)

    def _known(self, task: str) -> None:
        if task not in self.deltas:
            raise DeltaError(f"No task `{task}`. Learned so far: {', '.join(self.deltas) or 'none'}.")


def whole_weights(task: str, deltas: Mapping[str, TaskDelta], shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the full weights of a learned task, with the columns that it needs.

    Raises:
        DeltaError: If a needed task is missing, the columns are incomplete or in the wrong order, or an entry does not
            fit.
    """
    return with_columns(task, deltas, lambda delta: task_weights(delta, shared))
