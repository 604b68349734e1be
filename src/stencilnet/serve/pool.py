"""A bounded number of threads that compute, and a bounded number of requests that wait for one."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from stencilnet.serve.problems import HttpError
from stencilnet.stopping import Stop

R = TypeVar("R")


class Pool:
    """Runs work in threads, first come, first served. All methods are for the event loop's thread.

    Args:
        workers: Number of threads, at least 1.
        queue: Requests that may wait beside those that run, at least 0.

    Attributes:
        running: Number of threads at work.
        admitted: Number of requests that have a place: they send their body, wait, or run.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self.running = 0
        self.admitted = 0
        self._most = workers + queue
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="stencil-serve")
        self._turns = asyncio.Semaphore(workers)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for a request.

        Raises:
            HttpError: If all are taken.
        """
        if self.admitted >= self._most:
            message = f"Expected fewer than {self._most} requests at once, but got one more. Try again in a second."
            raise HttpError(429, message, Retry_After="1")
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    async def run(self, work: Callable[[Stop], R]) -> R:
        """Return the result of work in a thread.

        If this is cancelled, waiting work is dropped, and running work is asked to stop; its thread stays taken until
        it does.

        Args:
            work: Gets the request to stop, and raises StoppedError if it follows it.
        """
        await self._turns.acquire()
        stop = Stop()
        self.running += 1
        thread = asyncio.get_running_loop().run_in_executor(self._threads, work, stop)
        thread.add_done_callback(self._ended)
        try:
            return await asyncio.shield(thread)
        finally:
            stop.ask()

    def _ended(self, thread: "asyncio.Future[R]") -> None:
        self.running -= 1
        self._turns.release()
        if not thread.cancelled():
            thread.exception()  # taken note of, also if nobody waits for it any more

    def close(self) -> None:
        """Drop what waits; threads at work end with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
