"""The command line in this process: a new one would load torch at every call."""

import contextlib
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stencilnet.cli.main import main


@dataclass(frozen=True)
class Done:
    """What a call left: its exit code, and what it wrote to each stream."""

    returncode: int
    stdout: str
    stderr: str


Stencil = Callable[..., Done]


def command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stencil:
    """Return ``stencil(*words, cwd=None, encoding="utf-8")``; an unexpected exception is raised in the test.

    Args:
        folder: Where the streams are written: files, since `prepare_streams` changes a process's own alone.
        monkeypatch: What sets the environment and the arguments of the process.
    """
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "100")
    logger = logging.getLogger("stencilnet")

    def run(*words: object, cwd: Path | None = None, encoding: str = "utf-8") -> Done:
        handlers, level = logger.handlers[:], logger.level
        with (
            contextlib.chdir(cwd or Path.cwd()),
            (folder / "stdout").open("w", encoding=encoding) as out,
            (folder / "stderr").open("w", encoding=encoding) as err,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            monkeypatch.setattr(sys, "argv", ["stencil", *map(str, words)])
            with pytest.raises(SystemExit) as left:
                main()
        logger.handlers[:] = handlers
        logger.setLevel(level)
        written = ((folder / name).read_bytes().decode(encoding) for name in ("stdout", "stderr"))
        return Done(int(left.value.code or 0), *written)

    return run
