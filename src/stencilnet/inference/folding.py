"""Modules with tasks folded in, a bounded number of them; tasks are switched in place where that is possible."""

from torch import nn

from stencilnet.inference.memory import as_memory_error
from stencilnet.memory import within_memory
from stencilnet.models import MultiTaskNet
from stencilnet.models.columns import Columns
from stencilnet.slots import Slots

_FEWER = "Give `Engine` a smaller `active`, or another device."


def folded_slots(net: MultiTaskNet, count: int) -> Slots[nn.Module]:
    """Return slots for plain modules of a network's tasks.

    `Slots.lend` raises ValueError if a task cannot be read or does not fit the backbone (`BundleError`, `DeltaError`),
    or does not fit in memory (`TooLargeError`).

    Args:
        net: The network; no other code may run or move it.
        count: Most modules, at least 1.
    """

    def make(task: str) -> nn.Module:
        return within_memory(lambda: as_memory_error(lambda: net.materialize(task)), _network(task), _FEWER)

    def switch(module: nn.Module, task: str) -> bool:
        if isinstance(module, Columns) or within_memory(lambda: net.deltas[task].needs, _network(task), _FEWER):
            return False
        within_memory(lambda: as_memory_error(lambda: net.switch(module, task)), _network(task), _FEWER)
        return True

    return Slots(make, count, switch)


def _network(task: str) -> str:
    return f"The network of task {task!r}"
