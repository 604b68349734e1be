"""A training as a process of its own: `stencil teach --events`, followed and ended."""

import asyncio
import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from stencilnet.serve.lessons import LessonJob
from stencilnet.serve.problems import HttpError, internal_error
from stencilnet.text.shortening import shorten

_PATIENCE = 10.0
"""Seconds until a process that was asked to end is killed."""
_NICE = 10
"""What is added to the niceness of a training, so that the service's own work goes first; on POSIX alone."""
_LINE = 16 * 2**20
"""Most bytes of an event."""
_LONGEST = 1500
"""Most characters of an error."""


class TeachProcess:
    """The training of a lesson, which starts at once. All of it is for the event loop's thread.

    Args:
        lesson: The lesson; its state follows the training.
        bundle: The bundle's folder.
    """

    def __init__(self, lesson: LessonJob, bundle: Path) -> None:
        self._lesson = lesson
        self._command = lesson.command(bundle)
        self._process: asyncio.subprocess.Process | None = None
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
        self._terminate()
        await asyncio.wait([self._task], timeout=_PATIENCE)
        self.kill()
        await asyncio.wait([self._task])

    def kill(self) -> None:
        """Kill the process at once, and those that it has started, also where it has ended before them."""
        if self._process is None:
            return
        if hasattr(os, "killpg"):
            with suppress(OSError):  # all have ended
                os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group, since it has a session of its own
            return
        with suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            for each in (*process.children(recursive=True), process):
                with suppress(psutil.Error):
                    each.kill()

    def _terminate(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    async def _run(self) -> None:
        try:
            problem = await self._followed()
        except Exception as error:
            problem = internal_error(error)
        finally:
            self.kill()  # also where the service ends at once
            self._process = None  # another one may have its id from now on
        await asyncio.to_thread(shutil.rmtree, self._lesson.pictures, ignore_errors=True)
        if problem is None:
            self._lesson.change(state="done", doing="")
        elif self._cancelled:
            self._lesson.change(state="cancelled", doing="")
        else:
            self._lesson.change(state="failed", doing="", error=problem.body)

    async def _followed(self) -> HttpError | None:
        """Run the process, and return why it failed, if it did."""
        log = self._lesson.folder / "errors.txt"
        with log.open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=_LINE,
                start_new_session=True,  # Ctrl-C in the service's terminal is for the service
            )
        if os.name == "posix":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICE)
        if self._cancelled:
            self._terminate()
        assert self._process.stdout is not None, "it is a pipe"
        async for line in self._process.stdout:
            self._lesson.follow(json.loads(line))
        code = await self._process.wait()
        return None if code == 0 else HttpError(500, self._lesson.translated(_reason(code, log)))


def _reason(code: int, log: Path) -> str:
    """Return what a process that failed has printed."""
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    if "stencil: " in text:
        text = text[text.rindex("stencil: ") + len("stencil: ") :]
    if code < 0:
        name = signal.Signals(-code).name
        return f"The training was ended from outside ({name}). If memory was short, teach with smaller pictures. {text}"
    return shorten(text, _LONGEST) or f"The training ended with exit code {code}, and no message. Try again."
