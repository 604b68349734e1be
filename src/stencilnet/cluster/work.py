"""One job as a machine of the cluster does it: the same run, restricted, in the shared run folder."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TextIO

from rich.console import Console

from stencilnet.cluster.jobs import FanJob
from stencilnet.config.schema import Experiment
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.training.fit import Interrupted
from stencilnet.training.progress import ProgressBar
from stencilnet.training.sinks import Sink, TensorBoard, tensorboard_installed

_LINES_EVERY = 60.0
"""Seconds between two lines of progress in a job's log."""

_LOOK_EVERY = 1.0
"""Seconds between two looks at the wish to stop: the file may be far away."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a machine has to be told; can be pickled.

    Attributes:
        experiment: The config.
        job: Which part of it.
        out: The run folder: absolute, on a file system that all machines see.
        root: Where the config's data are: the same.
        wish: A file; when it is there, the job is to stop in a resumable state.
    """

    experiment: Experiment
    job: FanJob
    out: Path
    root: Path
    wish: Path

    @property
    def log(self) -> Path:
        """The job's own log, which the driver reads too; a resumed job goes on with it."""
        return self.out / "logs" / f"{self.job.name.replace('/', '.')}.log"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        state: ``stopped`` can be gone on with; so can ``failed``, once its cause is gone.
        message: What went wrong.
    """

    state: Literal["done", "stopped", "failed"]
    message: str = ""


class Handle(Protocol):
    """A job in an engine's hands."""

    def outcome(self) -> Outcome | None:
        """Return how it ended; None if it has not."""
        ...

    def withdraw(self) -> None:
        """Take it back, if it has not started."""
        ...


Submit = Callable[[Work], Handle]
"""An engine; its call raises ValueError if it does not take a job."""


def carry_out(work: Work) -> Outcome:
    """Do a job, or go on with it. A mistake is an outcome and not an exception: no engine is to try it again."""
    if (missing := _missing(work)) is not None:
        return Outcome(state="failed", message=missing)
    with work.log.open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as file, _logged(file):
        logger.info("starts on %s, process %d", socket.gethostname(), os.getpid())
        session = Session(
            out=work.out,
            root=work.root,
            resume=True,
            only=work.job.tasks,
            methods=(work.job.method,),
            sinks=_sinks(file),
            stop=_asked(work.wish),
            announce=logger.info,
        )
        try:
            Run(work.experiment, session).compare()
        except (Interrupted, KeyboardInterrupt):
            return Outcome(state="stopped")
        except (ValueError, OSError) as error:  # mistakes of use; anything else is ours, and the engine shows it
            logger.info("failed: %s", error)
            return Outcome(state="failed", message=str(error))
        except Exception:
            logger.exception("failed")
            raise
        return Outcome(state="done")


def _missing(work: Work) -> str | None:
    for what, path in (("the run folder", work.out), ("the data's root", work.root)):
        if not path.is_dir():
            return (
                f"Expected {what} {path} on {socket.gethostname()}, but it is not there. It must be on a file system "
                "that all machines see under one path."
            )
    return None


def _sinks(file: TextIO) -> list[Sink]:
    sinks: list[Sink] = [ProgressBar(Console(file=file, soft_wrap=True), every=_LINES_EVERY)]
    if tensorboard_installed():
        sinks.append(TensorBoard())
    return sinks


def _asked(wish: Path) -> Callable[[], bool]:
    found, looked = False, -_LOOK_EVERY

    def asked() -> bool:
        nonlocal found, looked
        now = time.monotonic()
        if not found and now - looked >= _LOOK_EVERY:
            found, looked = wish.exists(), now
        return found

    return asked


@contextmanager
def _logged(file: TextIO) -> Iterator[None]:
    """Send the library's log lines to a job's log; the process may do other jobs afterwards."""
    library = logging.getLogger("stencilnet")
    handler = logging.StreamHandler(file)
    level, propagate = library.level, library.propagate
    library.addHandler(handler)
    library.setLevel(logging.INFO)
    library.propagate = False
    try:
        yield
    finally:
        library.removeHandler(handler)
        library.setLevel(level)
        library.propagate = propagate
