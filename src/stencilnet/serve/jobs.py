"""Jobs: work whose answers are fetched later. All of it is for the event loop's thread, but `PictureJob.follow`."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from stencilnet.serve.problems import ErrorBody, HttpError, internal_error
from stencilnet.serve.work import Answer
from stencilnet.text.shortening import brief

_Work = Callable[[], Coroutine[Any, Any, None]]
JobState = Literal["waiting", "running", "done", "failed", "cancelled"]

_KEPT, _KEPT_BYTES = 100, 256 * 2**20
"""Most ended jobs whose answers are kept, and most bytes of these; the oldest go first."""


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """A job's state.

    Attributes:
        id: Its name in paths.
        state: Jobs wait, run, and end in one of the three others.
        tasks: Names of its tasks, in the order in which they run.
        done: Names of those whose answers can be fetched.
        error: Why it failed, if it did.
    """

    id: str
    state: JobState
    tasks: list[str]
    done: list[str]
    error: ErrorBody | None


class PictureJob:
    """A job.

    Args:
        tasks: Names of its tasks.

    Attributes:
        id: Its name in paths; it cannot be guessed.
        answers: Answers by task, as they come.
        state: Its state.
        error: Why it failed, if it did.
        next_change: Set at the next change, and then replaced.
    """

    def __init__(self, tasks: tuple[str, ...]) -> None:
        self.id = secrets.token_urlsafe(16)
        self.tasks = tasks
        self.answers: dict[str, Answer] = {}
        self.state: JobState = "waiting"
        self.error: HttpError | None = None
        self.next_change = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def info(self) -> JobInfo:
        """Its state as plain data."""
        error = None if self.error is None else self.error.body
        return JobInfo(id=self.id, state=self.state, tasks=list(self.tasks), done=list(self.answers), error=error)

    def follow(self, loop: asyncio.AbstractEventLoop, answers: Iterable[Answer]) -> None:
        """Take over answers as they come, in a thread at work.

        Args:
            loop: The event loop.
            answers: The answers; taking the next one computes it.
        """
        loop.call_soon_threadsafe(self.change, "running")
        for answer in answers:
            loop.call_soon_threadsafe(self.change, "running", answer)

    def change(self, state: JobState, answer: Answer | None = None, error: HttpError | None = None) -> None:
        """Set the state and what has come, and wake those who wait for it; nothing changes once the job has ended."""
        if self.ended:
            return
        self.state, self.error = state, error
        if answer is not None:
            self.answers[answer.task] = answer
        self.next_change.set()
        self.next_change = asyncio.Event()


class Jobs:
    """The jobs that run, and the last ones that have ended."""

    def __init__(self) -> None:
        self._jobs: dict[str, PictureJob] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def add(self, job: PictureJob, work: _Work, ended: Callable[[], None]) -> None:
        """Add a job and start its work.

        Args:
            job: The job.
            work: Does it; it is cancelled with the job.
            ended: Called once, when the job has ended.
        """
        self._jobs[job.id] = job
        self._running[job.id] = asyncio.create_task(self._run(job, work))
        self._running[job.id].add_done_callback(lambda _: self._end(job, ended))

    def get(self, name: str) -> PictureJob:
        """Return a job.

        Raises:
            HttpError: If there is none of this name, or it is not kept any more.
        """
        if name not in self._jobs:
            raise HttpError(404, f"Expected a job that runs or is kept, but got {brief(name)}. Start a new one.")
        return self._jobs[name]

    def drop(self, name: str) -> None:
        """Cancel a job if it has not ended, and forget it.

        Raises:
            HttpError: As `get`.
        """
        job = self.get(name)
        del self._jobs[name]
        self._cancel(job)

    def cancel_all(self) -> None:
        """Cancel all jobs."""
        for job in list(self._jobs.values()):
            self._cancel(job)

    def _cancel(self, job: PictureJob) -> None:
        job.change("cancelled")
        if job.id in self._running:
            self._running[job.id].cancel()

    async def _run(self, job: PictureJob, work: _Work) -> None:
        try:
            await work()
            job.change("done")
        except HttpError as error:
            job.change("failed", error=error)
        except Exception as error:
            job.change("failed", error=internal_error(error))

    def _end(self, job: PictureJob, ended: Callable[[], None]) -> None:
        del self._running[job.id]
        self._forget_oldest()
        ended()

    def _forget_oldest(self) -> None:
        ended = [job for job in self._jobs.values() if job.ended]
        size = sum(len(answer.body) for job in ended for answer in job.answers.values())
        while len(ended) > _KEPT or (size > _KEPT_BYTES and len(ended) > 1):
            oldest = ended.pop(0)
            size -= sum(len(answer.body) for answer in oldest.answers.values())
            del self._jobs[oldest.id]
