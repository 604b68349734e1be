"""A bounded number of folded modules shared by any number of threads; tasks replace each other in them."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from stencilnet.inference.memory import as_memory_error
from stencilnet.memory import within_memory
from stencilnet.models import MultiTaskNet
from stencilnet.models.columns import Columns

_FEWER = "Give `Engine` a smaller `active`, or another device."


@dataclass(eq=False)
class _Slot:
    """A slot for one module.

    Attributes:
        task: The task for which it was last taken.
        module: The module; None until first filled.
        holds: The task folded into the module; None if there is none or it is being written.
        users: Number of threads that use it.
        turn: Counter value when it was last taken, for finding the least recently used.
    """

    task: str
    module: nn.Module | None = None
    holds: str | None = None
    users: int = 0
    turn: int = 0


class Slots:
    """Folds tasks into at most `count` modules. Threads are served in the order of their requests, so none starves.

    Args:
        net: The network; no other code may run or move it.
        count: Most modules, at least 1.
    """

    def __init__(self, net: MultiTaskNet, count: int) -> None:
        self._net = net
        self._count = count
        self._slots: list[_Slot] = []
        self._queue: deque[object] = deque()
        self._turn = 0
        self._changed = threading.Condition()
        self._filling = threading.Lock()

    @contextmanager
    def lend(self, task: str) -> Iterator[nn.Module]:
        """Yield a task's plain module, which several threads may run at once; do not nest calls.

        Waits while all slots run other tasks.

        Raises:
            ValueError: If the task cannot be read or does not fit the backbone (`BundleError`, `DeltaError`), or does
                not fit in memory (`TooLargeError`).
        """
        slot = self._take(task)
        try:
            yield within_memory(
                lambda: as_memory_error(lambda: self._filled(slot)), f"The network of task {task!r}", _FEWER
            )
        finally:
            with self._changed:
                slot.users -= 1
                self._changed.notify_all()

    def _take(self, task: str) -> _Slot:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._usable(task) is not None)
                slot = self._usable(task)
                assert slot is not None  # nothing changed since: the lock is held
                if slot not in self._slots:
                    self._slots.append(slot)
                self._turn += 1
                slot.task, slot.turn = task, self._turn
                slot.users += 1
                return slot
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _usable(self, task: str) -> _Slot | None:
        """Return the task's slot, else a new one, else the least recently used that no thread uses, else None."""
        for slot in self._slots:
            if slot.task == task:
                return slot
        if len(self._slots) < self._count:
            return _Slot(task)
        return min((slot for slot in self._slots if not slot.users), key=lambda slot: slot.turn, default=None)

    def _filled(self, slot: _Slot) -> nn.Module:
        """Return the slot's module; the first of its users folds the task into it."""
        if slot.holds != slot.task:
            with self._filling:  # one at a time: they share the bundle's reader
                if slot.holds != slot.task:
                    self._fill(slot)
        assert slot.module is not None
        return slot.module

    def _fill(self, slot: _Slot) -> None:
        if slot.module is None or isinstance(slot.module, Columns) or self._net.deltas[slot.task].needs:
            slot.module, slot.holds = None, None  # memory for one module, not two
            slot.module = self._net.materialize(slot.task)  # columns cannot be switched
        else:
            slot.holds = None  # in case writing is interrupted
            self._net.switch(slot.module, slot.task)
        slot.holds = slot.task
