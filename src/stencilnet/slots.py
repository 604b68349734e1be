"""A bounded number of tasks kept ready to run, shared by any number of threads; tasks replace each other in them."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class _Slot(Generic[T]):
    """A slot for one task that is ready to run.

    Attributes:
        task: The task for which it was last taken.
        content: What runs the task; None until first filled.
        holds: The task that `content` runs; None if there is none or it is being written.
        users: Number of threads that use it.
        turn: Counter value when it was last taken, for finding the least recently used.
    """

    task: str
    content: T | None = None
    holds: str | None = None
    users: int = 0
    turn: int = 0


def _never(_content: object, _task: str) -> bool:
    return False


class Slots(Generic[T]):
    """Holds what runs at most `count` tasks. Threads are served in the order of their requests, so none starves.

    Args:
        make: Returns what runs a task. Only one call of it or of `switch` is made at a time.
        count: Most tasks, at least 1.
        switch: Switches what ran another task to this one and returns True, or returns False if that is impossible;
            then it is dropped before `make` is called, so that memory is for one, not two. By default it is impossible.
    """

    def __init__(self, make: Callable[[str], T], count: int, switch: Callable[[T, str], bool] = _never) -> None:
        self._make = make
        self._switch = switch
        self._count = count
        self._slots: list[_Slot[T]] = []
        self._queue: deque[object] = deque()
        self._turn = 0
        self._changed = threading.Condition()
        self._filling = threading.Lock()

    @contextmanager
    def lend(self, task: str) -> Iterator[T]:
        """Yield what runs a task, which several threads may use at once; do not nest calls.

        Waits while all slots run other tasks. Errors of `make` and `switch` are passed on; the other slots stay usable.
        """
        slot = self._take(task)
        try:
            yield self._filled(slot)
        finally:
            with self._changed:
                slot.users -= 1
                self._changed.notify_all()

    def _take(self, task: str) -> _Slot[T]:
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

    def _usable(self, task: str) -> _Slot[T] | None:
        """Return the task's slot, else a new one, else the least recently used that no thread uses, else None."""
        for slot in self._slots:
            if slot.task == task:
                return slot
        if len(self._slots) < self._count:
            return _Slot(task)
        return min((slot for slot in self._slots if not slot.users), key=lambda slot: slot.turn, default=None)

    def _filled(self, slot: _Slot[T]) -> T:
        """Return the slot's content; the first of its users fills it."""
        if slot.holds != slot.task:
            with self._filling:
                if slot.holds != slot.task:
                    self._fill(slot)
        assert slot.content is not None
        return slot.content

    def _fill(self, slot: _Slot[T]) -> None:
        slot.holds = None  # in case filling is interrupted
        if slot.content is None or not self._switch(slot.content, slot.task):
            slot.content = None
            slot.content = self._make(slot.task)
        slot.holds = slot.task
