"""The process of a lesson without a server and without a training: how it ends, and what is said of its failure."""

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from stencilnet.serve.lessons import LessonJob
from stencilnet.serve.teach_process import TeachProcess

from .test_lessons import settings

NOTE = '{"event": "note", "text": "looking into the folders"}'
Learned = Callable[..., LessonJob]


@pytest.fixture
def learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Learned:
    """Return a lesson that a shell script has learned in the place of `stencil teach`, once it has ended."""

    def run(script: str) -> LessonJob:
        monkeypatch.setattr(LessonJob, "command", lambda *_: ["sh", "-c", script])
        lesson = LessonJob(settings("restore", damage="noise"), tmp_path)

        async def work() -> None:
            process = TeachProcess(lesson, tmp_path)
            while not lesson.ended:
                await lesson.next_change.wait()
            await asyncio.sleep(0)  # the task that changed it ends
            assert process.ended

        asyncio.run(work())
        return lesson

    return run


def test_a_lesson_ends_with_its_process_and_so_does_what_that_has_started(learned: Learned, tmp_path: Path) -> None:
    lesson = learned(f"sleep 1000 & echo $! > {tmp_path / 'child'}; echo '{NOTE}'; exit 0")
    assert (lesson.state, lesson.info.doing) == ("done", "")
    child = int((tmp_path / "child").read_text())
    with suppress(psutil.NoSuchProcess):  # it has ended, and is forgotten
        while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def test_a_lesson_ends_though_its_pipe_is_held_open(
    learned: Learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stencilnet.serve.teach_process._DRAINING", 0.1)
    daemon = tmp_path / "daemon.py"
    daemon.write_text(
        "import os, sys; os.setsid(); open(sys.argv[1], 'w').close(); os.execlp('sleep', 'sleep', '1000')"
    )
    started = tmp_path / "started"
    wait = f"until [ -e {started} ]; do sleep 0.01; done"
    lesson = learned(f"{sys.executable} {daemon} {started} & echo $! > {tmp_path / 'child'}; {wait}; exit 3")
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)  # it runs still, since it has left the group
    assert lesson.state == "failed"
    assert lesson.info.error is not None
    assert "ended with exit code 3" in lesson.info.error.message


def test_all_that_a_process_has_printed_is_followed(learned: Learned) -> None:
    plan = '{"event": "plan", "steps": 9, "notes": ["é"]}'
    half, rest = NOTE[:20], NOTE[20:]
    assert learned(f"echo '{plan}'; printf '%s' '{half}'; sleep 0.1; echo '{rest}'").info.steps == 9


def test_cancelling_ends_the_process_and_what_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"trap '' TERM; sleep 1000 & echo '{NOTE}'; wait"
    monkeypatch.setattr(LessonJob, "command", lambda *_: ["sh", "-c", script])
    monkeypatch.setattr("stencilnet.serve.teach_process._PATIENCE", 0.1)
    lesson = LessonJob(settings("restore", damage="noise"), tmp_path)

    async def cancelled() -> None:
        process = TeachProcess(lesson, tmp_path)
        while lesson.info.doing != "looking into the folders":
            await lesson.next_change.wait()
        await process.cancel()
        assert process.ended

    asyncio.run(cancelled())
    assert lesson.state == "cancelled"


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("echo 'a\nstencil: Expected 4. Pass --minutes 3.' >&2; exit 2", "invalid", "Expected 4. Pass minutes 3."),
        ("echo 'stencil: The loss is not finite.' >&2; exit 1", "training_failed", "The loss is not finite."),
        ("echo 'step 3' >&2; kill -9 $$", "training_failed", "ended from outside (SIGKILL). If memory was short, "),
        ("exit 1", "training_failed", "The training ended with exit code 1, and no message. Try again."),
        ("echo 'Traceback (most recent call last):\nKeyError: 3' >&2; exit 1", "internal", "a bug in it: KeyError: 3."),
        ("echo 'no JSON'", "internal", "which is a bug in it. Its log has the details."),
    ],
)  # fmt: skip
def test_a_failure_has_a_code_that_says_whose_it_is(learned: Learned, script: str, code: str, message: str) -> None:
    lesson = learned(script)
    assert lesson.state == "failed"
    assert lesson.info.error is not None
    assert lesson.info.error.code == code
    assert message in lesson.info.error.message
    assert "step 3" not in lesson.info.error.message


def test_a_training_needs_no_space_for_its_messages(learned: Learned, tmp_path: Path) -> None:
    error = learned("(seq 20000; printf 'stencil: Cannot write \\303\\244.') >&2; exit 1").info.error
    assert error is not None
    assert (error.code, error.message) == ("training_failed", "Cannot write ä.")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_training_that_cannot_be_started_is_no_bug(learned: Learned, monkeypatch: pytest.MonkeyPatch) -> None:
    async def exhausted(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("asyncio.BaseEventLoop.subprocess_exec", exhausted)
    error = learned("exit 0").info.error
    assert error is not None
    assert error.code == "training_failed"
    assert error.message.startswith("The training cannot be started: Resource temporarily unavailable.")
