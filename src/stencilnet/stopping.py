"""Asks work in another thread to end early."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StoppedError(Exception):
    """Work has ended early, as another thread asked."""


class Stop:
    """A request that work ends early: asked for in one thread, followed in another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._calls: list[Callable[[], None]] = []

    @property
    def asked(self) -> bool:
        """Whether the work should end."""
        return self._asked

    def ask(self) -> None:
        """Ask for it."""
        with self._lock:
            self._asked = True
            calls = list(self._calls)
        for call in calls:
            call()

    def check(self) -> None:
        """End the work here if that was asked for.

        Raises:
            StoppedError: If it was.
        """
        if self._asked:
            raise StoppedError

    @contextmanager
    def calling(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Have a function called, in the thread that asks, if that happens during the block.

        Args:
            interrupt: Interrupts what the block does; it may be called after the block, too.

        Raises:
            StoppedError: If it was asked for before.
        """
        with self._lock:
            self.check()
            self._calls.append(interrupt)
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(interrupt)
