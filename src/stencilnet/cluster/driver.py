"""Submits jobs to an engine, reports their progress, and completes their results."""

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from stencilnet.cluster.asking import Ask, ProcessesAsk, RayAsk
from stencilnet.cluster.jobs import FanJob, jobs
from stencilnet.cluster.processes import on_processes
from stencilnet.cluster.ray import on_ray
from stencilnet.cluster.slurm import on_slurm
from stencilnet.cluster.work import Outcome, Submit, Work
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.experiment.run import Run
from stencilnet.learning.counting import DataError
from stencilnet.training.fit import Interrupted

_LOOK_EVERY = 0.2
"""Seconds between two checks of the jobs."""


class FanError(ValueError):
    """Jobs failed; the results of the others are kept."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        lines = [f"  {name}: {message}" for name, message in failures.items()]
        count = "one job" if len(lines) == 1 else f"{len(lines)} jobs"
        super().__init__("\n".join([f"{count} failed. Finished work is kept; pass --resume to continue:", *lines]))


def fan_out(run: Run, ask: Ask) -> dict[str, str]:
    """Carry out a run as jobs: first the backbone, then all others in parallel; complete the rows of results last.

    Args:
        run: The run; its session selects methods and tasks. All machines must see its folder and data under the same
            paths.
        ask: The engine, and the resources that each job requests.

    Returns:
        Messages of the failed jobs, by name.

    Raises:
        ConfigError: If the engine does not know a parameter.
        DataError: If there is nothing to learn or to measure in a task's data.
        ValueError: If the engine is not available.
        FanError: If the backbone could not be trained.
        Interrupted: If the session requested a stop, or a job was stopped. The run can be resumed.
    """
    session, experiment = run.session, run.experiment
    try:
        run.check_data()
    except DataError:
        raise
    except (
        ValueError,
        OSError,
    ) as error:  # data that cannot be opened here: the job that needs them fails with a message
        session.announce(f"some data could not be counted: {error}")
    with _engine(ask, session.out) as submit:
        failures = _all_jobs(run, submit)
    for method in experiment.methods:
        if not session.methods or method.name in session.methods:
            run.complete(method)
    return failures


def _engine(ask: Ask, out: Path) -> AbstractContextManager[Submit]:
    match ask:
        case ProcessesAsk():
            return on_processes(ask)
        case RayAsk():
            return on_ray(ask)
        case _:
            return on_slurm(ask, out)


def _all_jobs(run: Run, submit: Submit) -> dict[str, str]:
    session, experiment = run.session, run.experiment
    backbone, *others = jobs(experiment, session.methods, session.only)
    stop_request = session.out.resolve() / f".stop-{secrets.token_hex(8)}"
    if not run.folder.result(BACKBONE, run.first).exists():
        failures = _do([_work(run, backbone, stop_request)], run, submit)
        if failures:
            raise FanError(failures)
    pending = [job for job in others if run.unfinished(job.method, job.tasks)]
    return _do([_work(run, job, stop_request) for job in pending], run, submit)


def _work(run: Run, job: FanJob, stop_request: Path) -> Work:
    session = run.session
    return Work(
        experiment=run.experiment,
        job=job,
        out=session.out.resolve(),
        root=session.root.resolve(),
        stop_request=stop_request,
    )


def _do(works: Sequence[Work], run: Run, submit: Submit) -> dict[str, str]:
    """Submit jobs, and wait until all have ended."""
    session = run.session
    (session.out / "logs").mkdir(exist_ok=True)
    waiting = {work.job.name: _Watched(work, submit) for work in works}
    ended: dict[str, Outcome] = {}
    stopping = False
    while waiting:
        for name, watched in list(waiting.items()):
            outcome = watched.outcome()
            for line in watched.news():
                session.announce(f"{name} | {line}")
            if outcome is not None:
                session.announce(f"{name}: {outcome.state}")
                ended[name] = outcome
                del waiting[name]
        if session.stop() and waiting and not stopping:
            stopping = True
            session.announce(f"stopping {len(waiting)} job(s); each first writes its checkpoint")
            works[0].stop_request.touch()
            for watched in waiting.values():
                watched.withdraw()
        if waiting:
            time.sleep(_LOOK_EVERY)
    if stopping:
        works[0].stop_request.unlink()
    if stopping or any(outcome.state == "stopped" for outcome in ended.values()):
        raise Interrupted("The jobs were stopped.", step=0, path=session.out)
    return {name: outcome.message for name, outcome in ended.items() if outcome.state == "failed"}


class _Watched:
    """A submitted job and its log."""

    def __init__(self, work: Work, submit: Submit) -> None:
        self._log = work.log
        self._read = work.log.stat().st_size if work.log.exists() else 0
        self._started = False
        self._refused: Outcome | None = None
        try:
            self._handle = submit(work)
        except ValueError as error:
            self._refused = Outcome(state="failed", message=str(error))

    def outcome(self) -> Outcome | None:
        return self._refused or self._handle.outcome()

    def news(self) -> list[str]:
        """Return the lines added to the log since the last call."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(end)
        self._started = self._started or bool(end)
        return whole.decode("utf-8", "replace").splitlines()

    def withdraw(self) -> None:
        """Cancel the job if it has not started; a running job is stopped by a file instead, so that it can save."""
        if not self._started and self._refused is None:
            self._handle.withdraw()
