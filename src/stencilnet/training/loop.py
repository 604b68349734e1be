"""The training loop: steps, evaluations, selection, checkpoints, and an orderly stop."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stencilnet.tasks.task import Sample
from stencilnet.training.checkpoint import Progress, Selected, copied, save, trained_tensors
from stencilnet.training.job import Job
from stencilnet.training.sampling import Order, training_loader, validation_loader
from stencilnet.training.seeds import STEP, forked
from stencilnet.training.sinks import Sink
from stencilnet.training.step import Learner, train_step
from stencilnet.training.validation import Stopped, validate

logger = logging.getLogger(__name__)


READY = frozenset({"cpu"})
"""Devices on which a step's values are computed when it returns. On other devices, reading a value waits for the step
and delays the launch of the next one, so values are read only when they are needed."""


class Interrupted(Exception):  # noqa: N818 -- not an error: the stop was requested
    """A training was stopped and can be resumed.

    Attributes:
        step: Steps done in the checkpoint; 0 if there is none.
        path: The checkpoint.
    """

    def __init__(self, message: str, *, step: int, path: Path) -> None:
        super().__init__(message)
        self.step = step
        self.path = path


class DivergedError(ValueError):
    """A loss or a tensor is not finite, or a metric is nan."""


@dataclass(kw_only=True, eq=False)
class Loop:
    """A running training.

    Attributes:
        job: What is trained.
        learner: Network, optimiser and critic.
        order: The order of examples.
        progress: How far the training has come.
        sinks: Receive values and pictures; started and ended by the caller.
        stop: Called before each step and each batch of validation; return True to stop. The training can be resumed.
        path: Path of the checkpoint.
        fingerprint: What the checkpoint and a run that resumes it must have in common.
    """

    job: Job
    learner: Learner
    order: Order
    progress: Progress
    sinks: Sequence[Sink]
    stop: Callable[[], bool]
    path: Path
    fingerprint: Mapping[str, Any]
    _saved: int = field(init=False)
    _unread: list[tuple[int, Mapping[str, Tensor]]] = field(init=False, default_factory=list)
    _whole: bool = field(init=False, default=True)
    _timed: tuple[float, int] = field(init=False)
    _clock: float = field(init=False)

    def __post_init__(self) -> None:
        self._saved = self.progress.step
        self._clock = time.perf_counter()
        self._ready()

    def run(self) -> Selected:
        """Train to the end and return the selected step.

        Raises:
            Interrupted: If `stop` returns true, or on KeyboardInterrupt; the checkpoint is written first.
            DivergedError: If a loss or a tensor is not finite, or a metric is nan; the last checkpoint is kept.
        """
        try:
            self._go_on()
        except (Stopped, KeyboardInterrupt) as reason:
            raise self._interrupted() from reason
        assert self.progress.best is not None, "the last step is evaluated"
        self._count_time()
        return self.progress.best

    def _go_on(self) -> None:
        settings = self.learner.resolved.settings
        device, group = self.learner.resolved.device, self.learner.group
        validation = validation_loader(self.job.validation, workers=settings.workers)
        self._evaluate_if_due(validation)  # the run may have stopped between a step and its evaluation
        for batch in self._batches():
            if self.stop():
                raise Stopped
            group.go()
            self._step({name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()})
            self._evaluate_if_due(validation)
            if self.progress.step % settings.checkpoint_every == 0:
                self._save()

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        order, resolved = replace(self.order, first=self.progress.step), self.learner.resolved
        loader = training_loader(self.job.train, order, workers=resolved.settings.workers, device=resolved.device)
        try:
            yield from loader
        except RuntimeError as reason:  # clusters signal all processes, which also ends loader workers
            if self.stop():
                raise Stopped from reason
            raise

    def _step(self, batch: Mapping[str, Tensor]) -> None:
        done = self.progress.step
        self._whole = False
        self._unread.append((done, stepped(self.learner, batch, done, self.order.seed)))
        due = (done + 1) % self.learner.resolved.settings.log_every == 0 or done + 1 in (1, self.order.steps)
        values = self._read() if due or self.learner.resolved.device in READY else {}
        self.progress = replace(self.progress, step=done + 1)
        self._whole = True
        if due:
            self._log(values | self._rates() | self._speed() | self.learner.trainable.status())

    def _read(self) -> dict[str, float]:
        """Read the values that steps have left on the device; return those of the last step.

        Raises:
            DivergedError: If a value is not finite.
        """
        values: dict[str, float] = {}
        for done, scalars in self._unread:
            values = dict(zip(scalars, torch.stack(list(scalars.values())).tolist(), strict=True))
            if not all(isfinite(value) for value in values.values()):
                self._whole = False  # the tensors are unusable and must not be saved
                raise self._diverged(done, values)
        self._unread.clear()
        return values

    def _evaluate_if_due(self, samples: Iterable[Sample]) -> None:
        step, settings = self.progress.step, self.learner.resolved.settings
        due = step > 0 and (step % settings.evaluate_every == 0 or step == self.order.steps)
        if not due or step == self.progress.evaluated:
            return
        self._read()
        self._check_tensors()
        found = validate(self.learner, samples, shown=settings.samples, stop=self.stop)
        headline = self.job.task.metrics[0]
        score = found.scores[headline.name]
        if isnan(score):
            raise DivergedError(
                f"Expected a number for `{headline.name}` on validation data, which {self.job.name} needs to select a "
                f"step, but got nan at step {step}. Check whether all validation examples are void."
            )
        best = self.progress.best
        better = best is None or (score > best.score if headline.higher_is_better else score < best.score)
        if better and self.learner.trainable.selectable:
            tensors = copied(trained_tensors(self.learner.trainable))
            best = Selected(step=step, score=score, scores=dict(found.scores), tensors=tensors)
        self.progress = replace(self.progress, evaluated=step, best=best)
        self._log({f"validation/{name}": value for name, value in found.scores.items()})
        if found.sheet is not None:
            for sink in self.sinks:
                sink.picture(step, found.sheet)
        self._ready()

    def _count_time(self) -> None:
        now = time.perf_counter()
        self.progress = replace(self.progress, seconds=self.progress.seconds + now - self._clock)
        self._clock = now

    def _ready(self) -> None:
        self.learner.backbone.train()
        self._timed = time.perf_counter(), self.progress.step

    def _save(self) -> None:
        self._read()
        self._check_tensors()
        self._count_time()
        save(self.path, self.learner, self.progress, self.fingerprint)
        self._saved = self.progress.step

    def _check_tensors(self) -> None:
        # A real mask that is nan gives the bit 0 and the loss stays finite, so no other check notices it.
        tensors = trained_tensors(self.learner.trainable)
        bad = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
        if bad:
            raise DivergedError(
                f"Expected finite parameters, but after step {self.progress.step} of {self.job.name}, {bad[:3]} are "
                f"not. {self._remedy()}"
            )

    def _interrupted(self) -> Interrupted:
        if self._whole and self.progress.step > 0:  # else stopped within a step, with half-updated tensors
            self._save()
        where = f"at step {self.progress.step} of {self.order.steps} of {self.job.name}"
        kept = f"Saved up to step {self._saved} in {self.path}" if self._saved else "Nothing was saved yet"
        message = f"Stopped {where}. {kept}; repeat the call with resume (`--resume`) to continue."
        return Interrupted(message, step=self._saved, path=self.path)

    def _diverged(self, done: int, values: Mapping[str, float]) -> DivergedError:
        shown = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
        examples = ", ".join(str(index) for _, index in self.order.keys(done))
        return DivergedError(
            f"Expected a finite loss, but step {done + 1} of {self.order.steps} of {self.job.name} got {shown} on "
            f"training examples {examples} (by index). {self._remedy()}"
        )

    def _remedy(self) -> str:
        kept = f"The checkpoint of step {self._saved} ({self.path}) is untouched. " if self._saved else ""
        return (
            f"{kept}Lower the learning rate (the recipe's `lr` is {self.job.recipe.lr:g}, the masks' is "
            f"{self.job.mask_lr:g}), use precision float32, or check these examples."
        )

    def _log(self, values: Mapping[str, float]) -> None:
        for sink in self.sinks:
            sink.log(self.progress.step, values)

    def _rates(self) -> dict[str, float]:
        critic = self.learner.critic
        groups = [*self.learner.optimizer.param_groups, *([] if critic is None else critic.optimizer.param_groups)]
        return {f"lr/{group['name']}": group["lr"] for group in groups}

    def _speed(self) -> dict[str, float]:
        since, first = self._timed
        now, done = time.perf_counter(), self.progress.step
        self._timed = now, done
        return {"examples_per_second": (done - first) * self.order.batch / max(now - since, 1e-9)}


def stepped(learner: Learner, batch: Mapping[str, Tensor], done: int, seed: int) -> dict[str, Tensor]:
    """Take a step together with the other processes, each with its own seed.

    Returns:
        The values of the whole batch, as scalars on the device.
    """
    place = (learner.group.rank,) if learner.group.rank else ()
    with learner.group.lockstep(), forked(learner.resolved.device, seed, STEP, done, *place):
        return train_step(learner, batch, done)
