"""Carries out one job on a machine of the cluster: the run restricted to the job, in the shared run folder."""

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
"""Seconds between two progress lines in a job's log."""

_LOOK_EVERY = 1.0
"""Seconds between two checks for a stop request: the file may be on a slow file system."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a machine needs for a job; can be pickled.

    Attributes:
        experiment: The config.
        job: The part of the run to do.
        out: The run folder: an absolute path on a file system that all machines see.
        root: Root folder of the config's data: likewise.
        stop_request: A file whose existence requests the job to stop in a resumable state.
    """

    experiment: Experiment
    job: FanJob
    out: Path
    root: Path
    stop_request: Path

    @property
    def log(self) -> Path:
        """The job's log, which the driver reads too; a resumed job appends to it."""
        return self.out / "logs" / f"{self.job.name.replace('/', '.')}.log"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        state: A job that was ``stopped`` can be resumed; so can one that ``failed``, once the cause is removed.
        message: Description of the failure; else empty.
    """

    state: Literal["done", "stopped", "failed"]
    message: str = ""


class Handle(Protocol):
    """A submitted job."""

    def outcome(self) -> Outcome | None:
        """Return how the job ended; None if it has not."""
        ...

    def withdraw(self) -> None:
        """Cancel the job if it has not started."""
        ...


Submit = Callable[[Work], Handle]
"""Submits a job to an engine; raises ValueError if the engine rejects it."""


def carry_out(work: Work) -> Outcome:
    """Carry out or resume a job. User errors are returned as an outcome, not raised, so that no engine retries them."""
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
            stop=_requested(work.stop_request),
            announce=logger.info,
        )
        try:
            Run(work.experiment, session).compare()
        except (Interrupted, KeyboardInterrupt):
            return Outcome(state="stopped")
        except (ValueError, OSError) as error:  # user errors; anything else is a bug, which the engine shows
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
                f"Expected {what} {path} on {socket.gethostname()}, but it does not exist. It must be on a file system "
                "that all machines see under the same path."
            )
    return None


def _sinks(file: TextIO) -> list[Sink]:
    sinks: list[Sink] = [ProgressBar(Console(file=file, soft_wrap=True), every=_LINES_EVERY)]
    if tensorboard_installed():
        sinks.append(TensorBoard())
    return sinks


def _requested(stop_request: Path) -> Callable[[], bool]:
    found, looked = False, -_LOOK_EVERY

    def requested() -> bool:
        nonlocal found, looked
        now = time.monotonic()
        if not found and now - looked >= _LOOK_EVERY:
            found, looked = stop_request.exists(), now
        return found

    return requested


@contextmanager
def _logged(file: TextIO) -> Iterator[None]:
    """Send the library's log lines to a job's log, and undo this at the end: the process may run other jobs."""
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
