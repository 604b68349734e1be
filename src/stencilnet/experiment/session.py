"""How a run is carried out: everything that is not in its config."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stencilnet.config.reading import ConfigError
from stencilnet.config.schema import Experiment, TaskPlan
from stencilnet.learning.backbones import start_of
from stencilnet.learning.learn import Learning
from stencilnet.training.distributed import ALONE, Group, check_division
from stencilnet.training.settings import resolve
from stencilnet.training.sinks import Sink

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a run is carried out: everything that is not in its config.

    Attributes:
        out: The run folder.
        root: Root folder of the config's relative data paths.
        resume: Whether to resume the run in the folder.
        only: Names of the tasks to learn after the first; empty for all.
        methods: Names of the methods that `Run.compare` learns by; empty for all.
        sinks: Receivers of curves and progress.
        stop: Called before each step; return True to stop. The run can be resumed.
        announce: Called with a message before each stage.
        command: The command line, for the report.
        group: The processes that train together; this one leads.
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
    group: Group = ALONE


def learning(experiment: Experiment, plan: TaskPlan, session: Session, folder: Path) -> Learning:
    """Return how to learn one task of a config, with its files in `folder`."""
    cache = experiment.trainer.cache
    return Learning(
        view=plan.view,
        recipe=plan.recipe,
        trainer=replace(experiment.trainer, cache=None if cache is None else str(session.root / cache)),
        seed=experiment.seed,
        folder=folder,
        sinks=session.sinks,
        resume=session.resume,
        stop=session.stop,
        group=session.group,
        backbone=start_of(experiment.backbone),
        stored=experiment.backbone.stored,
    )


def check_devices(source: str, experiment: Experiment, group: Group, only: Sequence[str] = ()) -> None:
    """Check, before training, that a config can be trained on these devices.

    Args:
        source: Name of the config, for messages.
        experiment: The config.
        group: The processes that train together.
        only: Names of the tasks that will be trained; empty for all.

    Raises:
        ConfigError: If there are too few devices, or a task's batch cannot be divided among them.
    """
    try:
        resolve(experiment.trainer, group)
        for plan in experiment.tasks:
            if only and plan.name not in only:
                continue
            batch = (plan.recipe or plan.task.recipe()).batch
            check_division(plan.name, batch, devices=group.size, accumulate=experiment.trainer.accumulate)
    except ValueError as error:
        raise ConfigError(source, [str(error)]) from error
