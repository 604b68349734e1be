"""Tests whether the input pipeline keeps the device busy: images per second of the loader and of the training step."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import Measured, check_repetitions, ratio
from stencilnet.config.classes import with_classes
from stencilnet.config.downloads import without_downloads
from stencilnet.config.schema import Experiment, TaskPlan
from stencilnet.data.folders import Examples
from stencilnet.data.sources import spread
from stencilnet.experiment.forecast import bound_tasks
from stencilnet.experiment.session import Session, learning
from stencilnet.learning.backbones import make_backbone
from stencilnet.learning.learn import fresh_of, job_of, task_seed
from stencilnet.learning.opening import Splits, TaskData, open_data
from stencilnet.masks import Masks
from stencilnet.methods import Piggyback
from stencilnet.models import MultiTaskNet
from stencilnet.tasks.task import Task
from stencilnet.training.job import Job
from stencilnet.training.sampling import Order, training_loader
from stencilnet.training.settings import Resolved, resolve
from stencilnet.training.timing import time_steps


@dataclass(frozen=True, kw_only=True)
class Pass:
    """The speed of the loader with a number of workers.

    Attributes:
        workers: Processes that load; 0 loads in the training process.
        cold: Images per second if the loader's memory does not hold them yet. The system may hold the files in memory;
            with `trainer.cache`, the images are in that cache.
        warm: Images per second in the next pass over the same images: the loader's caches are filled, as far as their
            limit and the split between workers allow.
        busy: Images per second of the warm loader divided by those of the step. Below 1 the device waits; without
            workers it waits for every batch, whatever the ratio.
    """

    workers: int
    cold: Measured
    warm: Measured
    busy: Measured


@dataclass(frozen=True, kw_only=True)
class PipelineRow:
    """The measurements of one task.

    Attributes:
        task: Name of the task.
        batch: Examples per batch.
        crop: Side of an image, in pixels.
        images: Number of different images that were loaded.
        step: Images per second of training a mask (and a critic, if the task has one) on batches that are in memory.
        passes: The loader's speed, by number of workers.
    """

    task: str
    batch: int
    crop: int
    images: int
    step: Measured
    passes: tuple[Pass, ...]


def measure_pipeline(
    experiment: Experiment,
    root: Path,
    *,
    workers: Sequence[int],
    only: Sequence[str] = (),
    batches: int = 8,
    repetitions: int = 3,
    say: Callable[[str], None],
) -> Iterator[PipelineRow]:
    """Measure every task of a config.

    Args:
        experiment: The config.
        root: Folder of its data.
        workers: Numbers of loading processes to try.
        only: Names of tasks; empty (the default) for all.
        batches: Batches per pass, at least 2; fewer if there are too few images. Default: 8.
        repetitions: Number of repetitions, at least 2. Default: 3.
        say: Called with a progress message for each task.

    Raises:
        ValueError: If there are too few repetitions or batches, or the data do not fit the config.
    """
    check_repetitions(repetitions)
    if batches < 2:  # a pass is timed from its first batch on
        raise ValueError(f"Expected at least 2 batches, but got {batches}.")
    experiment, replaced = without_downloads(with_classes(experiment, root))
    for note in replaced:
        say(note)
    chosen = [plan for plan in experiment.tasks if not only or plan.name in only]
    data = {plan.name: open_data(plan, root, look=False) for plan in (experiment.tasks[0], *chosen)}
    bench = _Bench(
        experiment=experiment,
        root=root,
        net=make_backbone(experiment.backbone, experiment.seed),
        tasks=bound_tasks(experiment, data, root),
        resolved=resolve(experiment.trainer),
        batches=batches,
        repetitions=repetitions,
    )
    for plan in chosen:
        say(f"measuring {plan.name}")
        yield bench.row(plan, data[plan.name], workers)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Bench:
    experiment: Experiment
    root: Path
    net: MultiTaskNet
    tasks: Mapping[str, Task]
    resolved: Resolved
    batches: int
    repetitions: int

    def row(self, plan: TaskPlan, data: TaskData, workers: Sequence[int]) -> PipelineRow:
        """Measure one task."""
        images = min(len(data.train), self.batches * plan.recipe.batch)
        some = data.train.take(spread(images, len(data.train)))
        step = Measured(values=tuple(self._step(self._job(plan, some, data)) for _ in range(self.repetitions)))
        if self.resolved.settings.cache is not None:
            self._fill(self._job(plan, some, data))
        passes = []
        for count in workers:
            rates = [self._passes(self._job(plan, some, data), count) for _ in range(self.repetitions)]
            cold, warm = (Measured(values=values) for values in zip(*rates, strict=True))
            passes.append(Pass(workers=count, cold=cold, warm=warm, busy=ratio(warm, step)))
        return PipelineRow(
            task=plan.name,
            batch=plan.recipe.batch,
            crop=plan.view.crop,
            images=images,
            step=step,
            passes=tuple(passes),
        )

    def _job(self, plan: TaskPlan, some: Examples, data: TaskData) -> Job:
        """Return a job whose memory caches are empty."""
        config = learning(self.experiment, plan, Session(out=Path(), root=self.root), Path())
        splits = Splits(train=some, validation=data.validation)
        seed = task_seed(self.experiment.seed, plan.name)
        return job_of(self.tasks[plan.name], splits, plan.name, Piggyback(), config, seed, Path())

    def _fill(self, job: Job) -> None:
        for index in range(len(job.train)):
            job.train[0, index]

    def _step(self, job: Job) -> float:
        fresh = fresh_of(self.net, job.task, job.seed)
        masks = Masks(fresh.shared, self.net.layout.buffers, fresh.head, self.net.layout.masked)
        return time_steps(self.net.backbone, masks, job, self.resolved).images_per_second

    def _passes(self, job: Job, workers: int) -> tuple[float, float]:
        """Return the images per second of the first pass and of the second."""
        batch, ahead = job.recipe.batch, max(1, workers)
        count = max(len(job.train) // batch, 2 * ahead)
        # More batches than two passes need, so that all workers stay busy to the end of the second.
        order = Order(seed=job.seed, size=len(job.train), batch=batch, steps=2 * (count + ahead))
        batches = iter(training_loader(job.train, order, workers=workers, device=self.resolved.device))
        next(batches)  # by then each worker has loaded one, so that starting them is not counted
        cold = _seconds(batches, count - 1) / ((count - ahead) * batch)
        warm = _seconds(batches, count) / (count * batch)
        return 1 / cold, 1 / warm


def _seconds(batches: Iterator[object], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        next(batches)
    return time.perf_counter() - started
