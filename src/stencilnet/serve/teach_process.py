"""A training as a process of its own: `stencil teach --events`, followed and ended."""

import asyncio
import json
import logging
import shutil
import signal
from pathlib import Path

from stencilnet.serve.child_process import ChildProcess
from stencilnet.serve.lesson_config import keep_config
from stencilnet.serve.lessons import LessonJob
from stencilnet.serve.problems import TRAINING_FAILED, ErrorBody, internal_error
from stencilnet.text.shortening import shorten

logger = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds until a process that was asked to end is killed."""
_DRAINING = 2.0
"""Seconds that the last output of a process that has ended is waited for, where others hold its pipe open."""
_LONGEST = 1500
"""Most characters of an error."""
_USAGE = 2
"""Exit code of `stencil teach` where settings or pictures are at fault."""


class TeachProcess:
    """The training of a lesson, which starts at once. All of it is for the event loop's thread.

    Args:
        lesson: The lesson; its state follows the training.
        bundle: The bundle's folder.
    """

    def __init__(self, lesson: LessonJob, bundle: Path) -> None:
        self._lesson = lesson
        self._bundle = bundle
        self._command = lesson.command(bundle)
        self._process: ChildProcess | None = None
        self._cancelled = False
        lesson.change(state="running", doing="starting")
        self._task = asyncio.create_task(self._run())

    @property
    def ended(self) -> bool:
        """Whether the process has ended, and the lesson with it."""
        return self._task.done()

    async def cancel(self) -> None:
        """End the process, and return when it has ended."""
        self._cancelled = True
        self._lesson.change(doing="cancelling")
        if self._process is not None:
            self._process.terminate()
        await asyncio.wait([self._task], timeout=_PATIENCE)
        self.kill()
        await asyncio.wait([self._task])

    def kill(self) -> None:
        """Kill the process at once, and those that it has started."""
        if self._process is not None:
            self._process.kill()

    async def _run(self) -> None:
        try:
            error = await self._error()
        except Exception as failure:
            error = internal_error(failure).body
        finally:
            if self._process is not None:  # also where the service ends at once
                self._process.kill()
                self._process.close()
                self._process = None
        await asyncio.to_thread(shutil.rmtree, self._lesson.pictures, ignore_errors=True)
        if error is None:
            await self._keep_config()
            self._lesson.change(state="done", doing="")
        elif self._cancelled:
            self._lesson.change(state="cancelled", doing="")
        else:
            self._lesson.change(state="failed", doing="", error=error)

    async def _keep_config(self) -> None:
        try:
            kept = await asyncio.to_thread(keep_config, self._lesson, self._bundle)
        except OSError:  # deleted meanwhile, with other temporary files; the task has been learned all the same
            return
        self._lesson.config = kept.text
        self._lesson.change(config=kept.info)

    async def _error(self) -> ErrorBody | None:
        """Run the process, and return why it failed, if it did."""
        try:
            self._process = await ChildProcess.start(self._command, draining=_DRAINING)
        except OSError as failure:
            message = f"The training cannot be started: {failure.strerror}. End other programs, and try again."
            return ErrorBody(code=TRAINING_FAILED, message=message)
        if self._cancelled:
            self._process.terminate()
        async for line in self._process.lines():
            self._lesson.follow(json.loads(line))
        code = await self._process.code()
        if code == 0:
            return None
        error = _reason(code, self._process.errors.decode(errors="replace").strip())
        return ErrorBody(code=error.code, message=self._lesson.translated(error.message))


def _reason(code: int, text: str) -> ErrorBody:
    """Return why a process failed.

    Args:
        code: Its exit code; below 0, the signal that has ended it.
        text: What it has printed on stderr.
    """
    _, said, told = text.rpartition("stencil: ")
    if said and code > 0:
        return ErrorBody(code="invalid" if code == _USAGE else TRAINING_FAILED, message=shorten(told, _LONGEST))
    if code > 0 and "Traceback (most recent call last)" in text:
        logger.error("the training failed:\n%s", text)
        last = shorten(text.splitlines()[-1], _LONGEST).rstrip(".")
        message = f"The training failed, which is a bug in it: {last}. The server's log has the details."
        return ErrorBody(code="internal", message=message)
    if code < 0:
        name = signal.Signals(-code).name
        if text:  # its progress, or what a crash has printed
            logger.error("the training was ended by %s:\n%s", name, text)
        message = f"The training was ended from outside ({name}). If memory was short, teach with smaller pictures."
    else:
        message = shorten(text, _LONGEST) or f"The training ended with exit code {code}, and no message. Try again."
    return ErrorBody(code=TRAINING_FAILED, message=message)
