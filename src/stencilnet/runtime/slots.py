"""A bounded number of folded modules, lent to any number of threads; a task without one is switched into another's."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from stencilnet.models import MultiTaskNet
from stencilnet.models.columns import Columns
from stencilnet.runtime.memory import within_memory

_FEWER = "Give `Engine` a smaller `active`, or another device."


@dataclass(eq=False)
class _Slot:
    """One module's place.

    Attributes:
        task: The task it is for, since it was last taken.
        module: What runs; None before its first filling.
        holds: The task folded into the module; None while there is none, or while it is written.
        users: Threads that have it.
        turn: When it was last taken, for finding the least recently used.
    """

    task: str
    module: nn.Module | None = None
    holds: str | None = None
    users: int = 0
    turn: int = 0


class Slots:
    """Folds tasks into at most `count` modules. Threads are served in the order in which they come, so none starves.

    Args:
        net: The network; nobody else may run or move it.
        count: How many modules, at least 1.
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
        """Give a task's plain module, which several threads may run at once; do not ask for a second one inside.

        Waits while every slot runs other tasks.

        Raises:
            ValueError: If the task cannot be read, or does not fit (`BundleError`, `DeltaError`), also in memory
                (`TooLargeError`).
        """
        slot = self._take(task)
        try:
            yield within_memory(lambda: self._filled(slot), f"The network of task {task!r}", _FEWER)
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
        """Return the task's slot, else a new one, else the least recently used that nobody runs."""
        for slot in self._slots:
            if slot.task == task:
                return slot
        if len(self._slots) < self._count:
            return _Slot(task)
        return min((slot for slot in self._slots if not slot.users), key=lambda slot: slot.turn, default=None)

    def _filled(self, slot: _Slot) -> nn.Module:
        """Fold the slot's task into its module, unless it is there: the first of its users does."""
        if slot.holds != slot.task:
            with self._filling:  # one at a time: they share what reads the bundle
                if slot.holds != slot.task:
                    self._fill(slot)
        assert slot.module is not None
        return slot.module

    def _fill(self, slot: _Slot) -> None:
        if slot.module is None or isinstance(slot.module, Columns) or self._net.deltas[slot.task].needs:
            slot.module, slot.holds = None, None  # memory for one module, not two
            slot.module = self._net.materialize(slot.task)  # columns cannot be written over, or into
        else:
            slot.holds = None  # should writing end early
            self._net.switch(slot.module, slot.task)
        slot.holds = slot.task
