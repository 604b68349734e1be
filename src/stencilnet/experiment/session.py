"""How work is carried out, beside what a config says."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stencilnet.experiment.config import Experiment, TaskPlan
from stencilnet.experiment.learning import Learning
from stencilnet.training.sinks import Sink

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a run is carried out, beside what its config says.

    Attributes:
        out: The run folder.
        root: Where the config's relative data folders are.
        resume: Go on with what the folder holds.
        only: Names of the tasks to learn after the first; empty for all.
        methods: Names of the methods that `Run.compare` learns by; empty for all.
        sinks: Progress display.
        stop: Asked at every step; true ends the run in a resumable state.
        announce: Told each stage before it starts.
        command: What was typed, for the report.
    """

    out: Path
    root: Path
    resume: bool = False
    only: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    sinks: Sequence[Sink] = ()
    stop: Callable[[], bool] = bool
    announce: Callable[[str], None] = logger.info
    command: str = ""


def learning(experiment: Experiment, plan: TaskPlan, session: Session, folder: Path) -> Learning:
    """Return how to learn one task of a config, its files in `folder`."""
    return Learning(
        view=plan.view,
        recipe=plan.recipe,
        trainer=experiment.trainer,
        seed=experiment.seed,
        folder=folder,
        sinks=session.sinks,
        resume=session.resume,
        stop=session.stop,
    )
