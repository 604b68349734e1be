"""Teaches the bundle new tasks, one at a time."""

import asyncio
import os
import shutil
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import psutil

from stencilnet.bundle import task_names
from stencilnet.serve.lessons import LessonJob, LessonSettings, unwritable
from stencilnet.serve.problems import HttpError
from stencilnet.serve.teach_process import TeachProcess
from stencilnet.text.shortening import brief

_FOLDER = "stencil-teach-"
"""What the names of lessons' folders begin with; the service's process id follows."""


def delete_leftovers() -> None:
    """Delete the folders of lessons whose service has ended without deleting them, such as by SIGKILL."""
    try:
        place = Path(gettempdir())
    except OSError:  # no temporary folder can be written to, which whoever begins a lesson is told
        return
    for folder in place.glob(f"{_FOLDER}*-*"):
        process = folder.name.removeprefix(_FOLDER).split("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


class Teaching:
    """The lesson that collects pictures or runs, or the last one. All of it is for the event loop's thread.

    Args:
        bundle: The bundle's folder.

    Attributes:
        lesson: The lesson; None before the first.
    """

    def __init__(self, bundle: Path) -> None:
        self.lesson: LessonJob | None = None
        self._bundle = bundle
        self._process: TeachProcess | None = None
        self._stopping: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether a training runs."""
        return self._process is not None and not self._process.ended

    def begin(self, settings: LessonSettings) -> LessonJob:
        """Begin a lesson, which collects pictures. It takes the place of the one before.

        Raises:
            HttpError: If that one runs, the bundle has a task of this name, options do not fit the kind, or its folder
                cannot be made.
        """
        self._check_free()
        settings.check()
        if settings.name in task_names(self._bundle):
            raise HttpError(
                422, f"Expected the name of a new task, but there is a task {settings.name!r}. Choose another."
            )
        lesson = _made(settings)
        self._drop()
        self.lesson = lesson
        return lesson

    def get(self, name: str) -> LessonJob:
        """Return the lesson.

        Raises:
            HttpError: If it has another id, or there is none.
        """
        if self.lesson is None or self.lesson.info.id != name:
            raise HttpError(404, f"Expected the id of the latest lesson, but got {brief(name)}. Begin a new one.")
        return self.lesson

    def start(self, lesson: LessonJob) -> None:
        """Start a lesson's training.

        Raises:
            HttpError: If one runs, or pictures are missing.
        """
        self._check_free()
        lesson.check_complete()
        self._process = TeachProcess(lesson, self._bundle)

    async def forget(self, lesson: LessonJob) -> None:
        """Cancel a lesson if it has not ended, and forget it; returns when its process has ended."""
        if self.lesson is lesson and self._process is not None and self.running:
            await self._process.cancel()
        if self.lesson is lesson:
            self._drop()

    def stop(self) -> None:
        """Begin to end what runs."""
        if self._stopping is None and self.lesson is not None:
            self._stopping = asyncio.create_task(self.forget(self.lesson))

    def close(self) -> None:
        """End at once what still runs, and delete all files."""
        if self._process is not None:
            self._process.kill()
        self._drop()

    def _check_free(self) -> None:
        if self.running:
            assert self.lesson is not None, "it runs"
            name = self.lesson.info.name
            raise HttpError(409, f"Expected no training to run, but {name!r} is being learned. Wait, or cancel it.")

    def _drop(self) -> None:
        if self.lesson is not None:
            self.lesson.change(state="cancelled", doing="")
            shutil.rmtree(self.lesson.folder, ignore_errors=True)
            self.lesson = None


def _made(settings: LessonSettings) -> LessonJob:
    """Return a new lesson with a folder of its own, or leave nothing behind.

    Raises:
        HttpError: If the folder cannot be made.
    """
    folder = None
    try:
        folder = Path(mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
        return LessonJob(settings, folder)
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise unwritable(error, folder or "a temporary folder") from error
