"""Teaches a bundle a new task: learns it as planned, adds it, and compares it with the trivial answer."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from stencilnet.bundle import TaskRecord
from stencilnet.bundle.summary import summary
from stencilnet.evaluation.evaluate import evaluate
from stencilnet.experiment.adding import add_opened
from stencilnet.experiment.session import Session
from stencilnet.experiment.testing import Tester
from stencilnet.learning.learn import evaluation_samples
from stencilnet.storage import write_text
from stencilnet.tasks.task import Metric
from stencilnet.teaching.planning import REQUEST, Lesson, as_yaml, asked, learning_of, taken
from stencilnet.text.strict_json import dumps
from stencilnet.training.sinks import Files, TrainingInfo


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A task that was learned and added.

    Attributes:
        record: What the bundle records of it.
        metric: Its headline metric.
        value: The metric's value on the pictures held out.
        trivial: The value of the trivial answer (`Task.trivial`) on the same pictures.
        bytes: The task's bytes on disk.
        share: The same as a share of the backbone's bytes.
        samples: The sample pictures of the selected step; None if the task makes no pictures.
    """

    record: TaskRecord
    metric: Metric
    value: float
    trivial: float
    bytes: int
    share: float
    samples: Path | None

    @property
    def better(self) -> bool:
        """Whether the task is better than the trivial answer."""
        if math.isnan(self.trivial):
            return True
        return self.value > self.trivial if self.metric.higher_is_better else self.value < self.trivial


def teach(lesson: Lesson, session: Session, begin: Callable[[float], None] = lambda _: None) -> Taught:
    """Learn a task and add it to its bundle; an interrupted training continues where it stopped.

    Args:
        lesson: The task, from `prepare`.
        session: How to train; its folders and `resume` are set here. Its sinks come after that of the files.
        begin: Called before the training with the value of the trivial answer, by the headline metric.

    Raises:
        Interrupted: If it was stopped; the same request continues it.
        TeachError: If the bundle has got a task of this name meanwhile.
    """
    request, folder, name = lesson.request, lesson.request.folder, lesson.plan.name
    folder.mkdir(parents=True, exist_ok=True)
    if lesson.found is not None:
        write_text(lesson.path, as_yaml(lesson))
        write_text(folder / REQUEST, dumps(asked(request), indent=2) + "\n")
    metric = lesson.task.metrics[0]
    trivial = _trivial(lesson)[metric.name]
    begin(trivial)
    session = replace(
        session, out=folder, root=lesson.root, resume=True, sinks=(_Curves(folder, Files()), *session.sinks)
    )
    record = add_opened(request.bundle, lesson.experiment, lesson.plan, lesson.data, session, lesson.task)
    if record is None:
        raise taken(request)
    (folder / REQUEST).unlink()
    with suppress(OSError):
        (folder / lesson.experiment.methods[0].name).rmdir()  # the training's own folder, unless something is in it
    facts = summary(request.bundle)
    samples = folder / "samples" / f"step-{record.metrics['step']:06d}.png"
    size = facts["tasks"][name]["bytes"]
    return Taught(
        record=record,
        metric=metric,
        value=record.metrics["scores"][metric.name],
        trivial=trivial,
        bytes=size,
        share=size / max(1, facts["backbone_bytes"]),
        samples=samples if samples.exists() else None,
    )


@dataclass(frozen=True)
class _Curves:
    """Keeps curves and sample pictures in a folder: those of a training are deleted once its task is in the bundle."""

    folder: Path
    files: Files

    def start(self, run: TrainingInfo) -> None:
        self.files.start(replace(run, folder=self.folder))

    def log(self, step: int, values: Any) -> None:
        self.files.log(step, values)

    def picture(self, step: int, sheet: Image.Image) -> None:
        self.files.picture(step, sheet)

    def end(self) -> None:
        self.files.end()


def _trivial(lesson: Lesson) -> dict[str, float]:
    """Return the metrics of the trivial answer on the pictures held out."""
    name = lesson.plan.name
    tester = Tester(
        experiment=lesson.experiment, tasks={name: lesson.task}, data=lambda _: lesson.data, root=lesson.root
    )
    samples = evaluation_samples(lesson.task, lesson.data, learning_of(lesson))
    return evaluate(tester.baseline(name), lesson.task, samples)
