"""Slurm as the engine, through submitit: each job is a Slurm job."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stencilnet.cluster.asking import SlurmAsk, check_slurm
from stencilnet.cluster.work import Outcome, Submit, Work, carry_out
from stencilnet.config.reading import ConfigError

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job
    from submitit.core.utils import DelayedSubmission


@contextmanager
def on_slurm(ask: SlurmAsk, out: Path) -> Iterator[Submit]:
    """Submit jobs from this machine; their scripts and raw output go to ``logs/submitit`` in the run folder `out`.

    A job that is preempted or runs out of time is queued again and resumes from its checkpoint.

    Raises:
        ConfigError: If submitit does not know a parameter.
        ValueError: If this machine cannot submit to Slurm.
    """
    from submitit.core.utils import FailedJobError

    executor = _executor(ask, out.resolve() / "logs" / "submitit")

    def submit(work: Work) -> _Handle:
        executor.update_parameters(name=f"stencilnet-{work.job.name.replace('/', '-')}")
        try:
            return _Handle(executor.submit(Requeued(work)))
        except (FailedJobError, OSError) as error:
            raise ValueError(f"Slurm rejected the job: {error}") from error

    yield submit


@dataclass(frozen=True)
class Requeued:
    """A job as submitit calls it: restarted after a preemption, it resumes from the checkpoint on disk.

    Attributes:
        work: The work of the job.
    """

    work: Work

    def __call__(self) -> Outcome:
        """Carry out the work."""
        return carry_out(self.work)

    def checkpoint(self) -> "DelayedSubmission":
        """Return the job to queue again: the same one, since all progress is on disk."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self)


class _Handle:
    def __init__(self, job: "Job[Outcome]") -> None:
        self._job = job
        self._withdrawn = False

    def outcome(self) -> Outcome | None:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        if not self._job.done():
            return None
        try:
            return self._job.result()
        except (FailedJobError, UncompletedJobError) as error:
            if self._withdrawn:
                return Outcome(state="stopped")
            lines = [line for line in str(error).splitlines() if line.strip()]
            message = f"Slurm's job {self._job.job_id} died: {lines[-1].strip()} (output: {self._job.paths.stderr})"
            return Outcome(state="failed", message=message)

    def withdraw(self) -> None:
        self._withdrawn = True
        self._job.cancel(check=False)


def _executor(ask: SlurmAsk, folder: Path) -> "AutoExecutor":
    import submitit

    check_slurm(ask)
    executor = submitit.AutoExecutor(
        folder=folder, cluster=ask.cluster, slurm_max_num_timeout=ask.slurm_max_num_timeout
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # submitit warns of a name that it would use as another one
            executor.update_parameters(**ask.parameters)
    except (NameError, AssertionError, TypeError, UserWarning) as error:
        raise ConfigError("--ask", [str(error)]) from error
    return executor
