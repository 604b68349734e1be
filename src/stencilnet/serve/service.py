"""What the routes share: the engine, the pool, counts, and whether the service is stopping."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from fastapi import Request

from stencilnet.serve.jobs import Jobs, PictureJob
from stencilnet.serve.limits import Limits
from stencilnet.serve.live import LiveEngine
from stencilnet.serve.metrics import Metrics
from stencilnet.serve.pool import Pool
from stencilnet.serve.problems import HttpError
from stencilnet.serve.teaching import Teaching
from stencilnet.serve.work import Options, Plan, answers, planned

R = TypeVar("R")


class Service:
    """The state of a service.

    Args:
        live: The engine.
        limits: The bounds.
        teaching: What teaches the bundle; None if nobody may.

    Attributes:
        stopping: Whether new requests are refused, since the service ends.
        open_requests: Number of requests without a complete answer.
    """

    def __init__(self, live: LiveEngine, limits: Limits, teaching: Teaching | None = None) -> None:
        self.live = live
        self.teaching = teaching
        self.limits = limits
        self.pool = Pool(limits.workers, limits.queue)
        self.metrics = Metrics()
        self.jobs = Jobs()
        self.stopping = False
        self.open_requests = 0

    async def plan(self, tasks: tuple[str, ...], options: Options) -> Plan:
        """Check what a request asks for, on the bundle's current state.

        Raises:
            HttpError: As `planned`.
        """
        return await asyncio.to_thread(lambda: planned(self.live.current(), tasks, options, self.limits.max_pixels))

    @contextmanager
    def counted(self, plan: Plan) -> Iterator[None]:
        """Count a request of a plan's tasks by the status of its answer."""
        began, status = time.monotonic(), 500
        try:
            yield
            status = 200
        except HttpError as problem:
            status = problem.status
            raise
        except asyncio.CancelledError:
            status = 499
            raise
        finally:
            for step in plan.steps:
                self.metrics.count(step.task, status, time.monotonic() - began)

    def start(self, plan: Plan, data: bytes, place: ExitStack) -> PictureJob:
        """Run a plan as a job.

        Args:
            plan: What to do.
            data: The picture's file.
            place: The job's place in the pool; it is closed when the job has ended.
        """
        job = PictureJob(tuple(step.task for step in plan.steps))

        async def work() -> None:
            with self.counted(plan):
                await self.pool.run(lambda stop: job.follow(loop, answers(plan, data, stop)))

        loop = asyncio.get_running_loop()
        self.jobs.add(job, work, place.close)
        return job

    @property
    def idle(self) -> bool:
        """Whether nothing runs that has to be waited for."""
        return not self.open_requests and not (self.teaching and self.teaching.running)

    def cancel(self) -> None:
        """Begin to end what would run on without a request."""
        self.jobs.cancel_all()
        if self.teaching is not None:
            self.teaching.stop()

    def close(self) -> None:
        """Drop what waits, and end what still runs."""
        self.pool.close()
        if self.teaching is not None:
            self.teaching.close()

    def gauges(self) -> dict[str, tuple[str, int]]:
        """Return the current values for the metrics."""
        waiting = max(0, self.pool.admitted - self.pool.running)
        return {
            "stencil_queue_length": ("Requests that have a place and do not run yet.", waiting),
            "stencil_pictures_running": ("Threads at work.", self.pool.running),
        }

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Bound the time of the block, and cancel it then.

        Raises:
            HttpError: If time is up.
        """
        try:
            async with asyncio.timeout(self.limits.timeout):
                yield
        except TimeoutError:
            message = (
                f"Expected an answer within {self.limits.timeout:g} seconds, but it takes longer. "
                "Try again later, send a smaller picture or a job, or start the server with a larger --timeout."
            )
            raise HttpError(503, message, Retry_After="10") from None


async def while_connected(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """Return the result of work, unless the client hangs up; then it is cancelled.

    Args:
        request: The request; its body is read already.
        work: The work.

    Raises:
        HttpError: If the client hangs up.
    """
    wanted, gone = asyncio.create_task(work), asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait((wanted, gone), return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            raise HttpError(499, "The client has hung up.")
        return wanted.result()
    finally:
        wanted.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
