"""Training as a method calls it: takes a trainable and returns it at its selected step."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from stencilnet.masks import Trainable
from stencilnet.methods import Fit, Penalty
from stencilnet.storage import discard_unfinished, write_text
from stencilnet.text.strict_json import dumps
from stencilnet.training.checkpoint import (
    CheckpointError,
    Progress,
    check,
    load,
    progress_of,
    put_back,
    save_finished,
)
from stencilnet.training.compiling import settled
from stencilnet.training.distributed import ALONE, Group, check_division, packed
from stencilnet.training.following import TrainingSetup
from stencilnet.training.job import Job, fingerprint, scaled
from stencilnet.training.loop import DivergedError, Interrupted, Loop
from stencilnet.training.networks import graph_of
from stencilnet.training.scaling import first_loss
from stencilnet.training.settings import Resolved
from stencilnet.training.sinks import Files, Sink, TrainingInfo
from stencilnet.training.step import Learner

__all__ = ["CheckpointError", "DivergedError", "Interrupted", "Job", "make_fit"]

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Trainable)


def make_fit(
    backbone: nn.Module,
    job: Job,
    resolved: Resolved,
    sinks: Sequence[Sink] = (),
    *,
    resume: bool = False,
    stop: Callable[[], bool] = bool,
    group: Group = ALONE,
) -> Fit:
    """Return the `fit` function that is passed to a method.

    Its n-th call (from 0) keeps all its files in ``<job.folder>/fit-<n>``: ``checkpoint.pt``, ``metrics.jsonl``,
    ``metrics.csv``, ``samples/step-<n>.png``, and, when it is done, ``selected.json`` with the selected step and its
    validation scores. A call that has already finished returns its selected step at once.

    Args:
        backbone: Any network; only a copy of its graph is used.
        job: What to train.
        resolved: Device, precision, how often to evaluate and save.
        sinks: Receive values and pictures, in addition to the files; none by default.
        resume: Whether to resume from the checkpoints in the folder; a call without one starts anew. Default: false.
        stop: Called before each step and each batch of validation; return True to stop. The training can be resumed.
        group: The processes that train together; this one leads, the others call `follow`.

    Raises:
        ValueError: If the recipe's batch cannot be split into equal parts.
        CheckpointError: By a call, if a checkpoint exists and `resume` is false, or it belongs to another config.
        Interrupted: By a call, if it was stopped; also instead of KeyboardInterrupt.
        ValueError: By a call, if its `share` or `lr_scale` is not positive.
        DivergedError: By a call, if a loss or a trained tensor is not finite, or the headline metric is nan.
        PeerError: By a call, if another process of the group failed.
    """
    check_division(job.name, job.recipe.batch, devices=group.size, accumulate=resolved.settings.accumulate)
    return _Fit(
        backbone=backbone,
        job=job,
        resolved=resolved,
        sinks=(Files(), *sinks),
        resume=resume,
        stop=stop,
        group=group,
        calls=count(),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fit:
    backbone: nn.Module
    job: Job
    resolved: Resolved
    sinks: Sequence[Sink]
    resume: bool
    stop: Callable[[], bool]
    group: Group
    calls: Iterator[int]

    def __call__(self, trainable: T, *, penalty: Penalty | None = None, share: float = 1.0, lr_scale: float = 1.0) -> T:
        call, job = next(self.calls), scaled(self.job, share, lr_scale)
        folder = job.folder / f"fit-{call}"
        path = folder / "checkpoint.pt"
        if path.exists() and not self.resume:
            raise CheckpointError(
                f"{path} holds an earlier training of {job.name}. Resume it (`--resume`), or delete {job.folder} to "
                "start afresh."
            )
        record = load(path) if path.exists() else None
        resolved = settled(self.resolved, self.backbone, job, record)
        mark = fingerprint(job, resolved, trainable, penalty)
        if record is not None:
            check(path, record, mark, resolved)
        progress = Progress() if record is None else progress_of(record)
        if record is None or not record["finished"]:
            folder.mkdir(parents=True, exist_ok=True)
            discard_unfinished(folder)
            training = TrainingSetup(
                backbone=self.backbone,
                trainable=trainable,
                job=job,
                resolved=resolved,
                call=call,
                record=record,
                penalty=penalty,
                scale=1.0 if penalty is None else self._first_loss(trainable, job),
            )
            start = packed(training) if self.group.size > 1 else b""
            learner = training.learner(resolved, self.group)
            with self.group.led(start):
                progress = self._train(training, learner, progress, folder, mark)
        assert progress.best is not None, "the last step is evaluated"
        put_back(trainable, progress.best.tensors)
        trainable.zero_grad(set_to_none=True)
        trainable.cpu()
        return trainable

    def _first_loss(self, trainable: Trainable, job: Job) -> float:
        still = graph_of(self.backbone, "cpu").eval()
        return first_loss(still, trainable.weights(), job.task, job.train, batch=job.recipe.batch, seed=job.seed)

    def _train(
        self, training: TrainingSetup, learner: Learner, progress: Progress, folder: Path, mark: Mapping[str, Any]
    ) -> Progress:
        job, recipe, headline = training.job, training.job.recipe, training.job.task.metrics[0].name
        loop = Loop(
            job=job,
            learner=learner,
            order=training.order(self.group),
            progress=progress,
            sinks=self.sinks,
            stop=self.stop,
            path=folder / "checkpoint.pt",
            fingerprint=mark,
        )
        run = TrainingInfo(
            name=job.name,
            folder=folder,
            first=progress.step,
            steps=recipe.steps,
            headline=f"validation/{headline}",
        )
        try:
            for sink in self.sinks:
                sink.start(run)
            best = loop.run()
        finally:
            for sink in self.sinks:
                sink.end()
        chosen = {
            "step": best.step,
            "steps": recipe.steps,
            "scores": best.scores,
            "seconds": loop.progress.seconds,
            "precision": learner.resolved.precision,
            "compiled": learner.resolved.compiled,
        }
        logger.info("%s: selected step %d of %d, %s = %.6g.", run.name, best.step, run.steps, headline, best.score)
        write_text(folder / "selected.json", dumps(chosen, indent=2) + "\n")
        save_finished(folder / "checkpoint.pt", learner.resolved, loop.progress, mark)
        return loop.progress
