"""Estimates what a run would do and cost: goes through its steps, but measures a few optimiser steps per training."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stencilnet.bundle.tensors import encode_backbone, encode_delta
from stencilnet.config.classes import with_classes
from stencilnet.config.downloads import without_downloads
from stencilnet.config.schema import Experiment
from stencilnet.data.folders import Examples
from stencilnet.data.samples import bytes_of
from stencilnet.data.sources import spread
from stencilnet.data.transforms import resized
from stencilnet.evaluation.protocol import BACKBONE, Stage
from stencilnet.evaluation.results import Sizes
from stencilnet.experiment.costing import Part, loading_seconds, overlapped, training_seconds, validating_seconds
from stencilnet.experiment.measuring import CountingProbe, Measuring, silenced, untouched
from stencilnet.experiment.session import Session, learning
from stencilnet.experiment.testing import measure_sizes
from stencilnet.experiment.walking import First, Learn, LearnTogether, Remember, Retrain, Step, walk
from stencilnet.kinds.catalog import traits_of
from stencilnet.learning.backbones import in_words, make_backbone, start_of
from stencilnet.learning.counting import check_all
from stencilnet.learning.joint import Member, joint_job, joint_state
from stencilnet.learning.learn import Learning, first_state, fresh_of, job_of, task_seed
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.learning.provenance import hardware, provenance
from stencilnet.learning.styles import bind_style, calibration_image
from stencilnet.masks import NetState, arrays_of
from stencilnet.methods import Fresh
from stencilnet.perceptual.standin import random_standin
from stencilnet.perceptual.vgg import vgg
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.task import Recipe, Task
from stencilnet.training.job import Job
from stencilnet.training.probing import make_probe
from stencilnet.training.settings import Resolved, resolve
from stencilnet.training.timing import StepCost

logger = logging.getLogger(__name__)

STANDIN = (
    "Style losses were measured with random filters. A run may choose the trained backbone's encoder instead, whose "
    "steps cost more if the backbone is wide."
)
GRAY = "The numbers of examples include gray photos, which a run leaves out if `drop_gray` is set."
CACHE = (
    "Loading was measured without the cache on disk (`trainer.cache`), so that nothing was written; a run loads cached "
    "examples faster."
)
_SEEN = 4
"""Number of images that the random filters in place of a stand-in are calibrated on."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of the plan.

    Attributes:
        stage: Method, task, where it starts.
        steps: Number of optimiser steps, in total if the method trains several times.
        batch: Examples per step.
        crop: Side of the training crop, in pixels.
        sizes: Bytes of the delta, the shared weights and a whole network, as in results; of a quantised delta, those
            at its target entropy.
        stored: Upper bound of the bytes added to the run's bundles: the delta's file, with masks at one bit per weight
            (entropy coding makes them smaller), and the shared weights if they are stored again; of a quantised delta
            an estimate, as in `sizes`.
        cost: Measured cost of a step.
        training: Seconds of all steps, of loading that does not overlap with them, and of the method's measurements.
        checking: Seconds of all evaluations on validation data, and of the test at the end.
        forgets: Whether it may change the outputs of earlier tasks, so that keeping them takes a snapshot per task.
    """

    stage: Stage
    steps: int
    batch: int
    crop: int
    sizes: Sizes
    stored: int
    cost: StepCost
    training: float
    checking: float
    forgets: bool = False

    @property
    def seconds(self) -> float:
        """Seconds of training and checking."""
        return self.training + self.checking


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The plan of a run.

    Attributes:
        title: The config's title.
        network: Description of the backbone.
        seed: The config's seed.
        data: Number of examples by task and split.
        trainings: The trainings in order; the first trains the backbone.
        devices: Number of devices that share each batch; one was measured.
        device: ``cpu``, ``cuda`` or ``mps``.
        precision: ``float32`` or ``bf16``.
        workers: Number of loader processes.
        hardware: Description of the hardware.
        notes: Remarks on the numbers.
    """

    title: str
    network: str
    seed: int
    data: dict[str, dict[str, int]]
    trainings: tuple[Training, ...]
    devices: int
    device: str
    precision: str
    workers: int
    hardware: str
    notes: tuple[str, ...]

    def of(self, method: str) -> tuple[Training, ...]:
        """Return a method's trainings, preceded by the backbone's unless the method trains the first task again."""
        own = [row for row in self.trainings if row.stage.method == method]
        again = {row.stage.task for row in own if row.stage.method != BACKBONE}
        first = [r for r in self.trainings if r.stage.method == BACKBONE != method and r.stage.task not in again]
        return (*first, *own)


def forecast(
    experiment: Experiment,
    root: Path,
    *,
    methods: Sequence[str],
    only: Sequence[str] = (),
    devices: int = 1,
    say: Callable[[str], None] = logger.info,
) -> Forecast:
    """Go through a run's steps with untrained weights, and measure a few steps of each kind of training of each task.

    Args:
        experiment: The config.
        root: Root folder of its data.
        methods: Names of the methods to learn by.
        only: Names of the tasks to learn after the first; empty for all.
        devices: Number of devices that would share each batch; one is measured, with its share.
        say: Called with a message before each measurement.

    Raises:
        DataError: If there is nothing to learn or to measure in a task's data.
        ValueError: If the data cannot be opened or do not fit a task, or this machine lacks the device.
    """
    experiment = with_classes(experiment, root)
    resolved = resolve(experiment.trainer)
    through_standin = experiment.perceptual.source == "standin"
    experiment, replaced = without_downloads(experiment)
    cached = experiment.trainer.cache is not None
    experiment = replace(experiment, trainer=replace(experiment.trainer, cache=None))
    forecaster = _Forecaster(experiment=experiment, root=root, say=say, resolved=resolved, devices=devices)
    steps = [*walk(experiment, methods, only)]
    learned = {step.stage.task for step in steps if step.asked and not isinstance(step, Remember)}
    lacking: list[str] = []
    check_all([plan for plan in experiment.tasks if plan.name in learned], forecaster.data.__getitem__, lacking.append)
    rows = [row for step in steps for row in forecaster.forecast_step(step)]
    looks = any(isinstance(forecaster.tasks[row.stage.task], PerceptualTask) for row in rows)
    return Forecast(
        title=experiment.title,
        network=in_words(experiment.backbone),
        seed=experiment.seed,
        data={
            name: {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)}
            for name, data in forecaster.data.items()
        },
        trainings=tuple(rows),
        devices=devices,
        device=forecaster.resolved.device,
        precision=forecaster.resolved.precision,
        workers=forecaster.resolved.settings.workers,
        hardware=hardware(provenance(forecaster.resolved.device)),
        notes=(
            *lacking,
            *replaced,
            *((STANDIN,) if looks and through_standin else ()),
            *((CACHE,) if cached else ()),
            *((GRAY,) if any(plan.data.drop_gray for plan in experiment.tasks) else ()),
        ),
    )


@dataclass(kw_only=True, eq=False)
class _Forecaster:
    experiment: Experiment
    root: Path
    say: Callable[[str], None]
    resolved: Resolved
    devices: int
    costs: dict[object, StepCost] = field(default_factory=dict)
    scoring: dict[str, float] = field(default_factory=dict)
    method: str = ""
    """The current method; the fields below are about it alone, so that no more than its states are in memory."""
    states: dict[str, NetState] = field(default_factory=dict)
    """By task: the state after it, unless that is `start`."""
    bundled: bool = False
    """Whether it has a bundle."""
    requested: int = 0
    """Training inputs that it used before its next training."""
    joint: tuple[NetState, Measuring] | None = None
    """If it learns all tasks at once: the state after that, and the measured training."""

    def __post_init__(self) -> None:
        self.net = make_backbone(self.experiment.backbone, self.experiment.seed)
        self.data: dict[str, TaskData] = {
            plan.name: open_data(plan, self.root, look=False) for plan in self.experiment.tasks
        }
        self.tasks = bound_tasks(self.experiment, self.data, self.root)
        self.start = NetState({})

    def forecast_step(self, step: Step) -> Iterator[Training]:
        """Yield the trainings of a step that is asked for, and the tests that follow; keep the state it leads to."""
        if step.stage.method != self.method:
            self.method, self.states, self.bundled, self.requested, self.joint = step.stage.method, {}, False, 0, None
        match step:
            case First():
                yield self._first(step)
            case Remember():
                self._remember(step)
            case LearnTogether():
                yield self._together(step)
            case Retrain() | Learn():
                yield from self._further(step)

    def _first(self, step: First) -> Training:
        name, backbone = step.stage.task, self.experiment.backbone
        fit = self._fit(step)
        fresh = self._fresh(name, self._probe(fit))
        self.start = first_state(self.net, name, fresh, fit, start_of(backbone), backbone.stored)
        return self._row(step.stage, self.start, fit, stored_whole=True)

    def _remember(self, step: Remember) -> None:
        name, fit = step.stage.task, self._fit(step)
        probe = self._probe(fit)
        self.states[name] = step.method.adopt(self.start, name, self._fresh(name, probe), fit)
        self.requested = probe.requested

    def _further(self, step: Retrain | Learn) -> Iterator[Training]:
        stage, method = step.stage, step.method
        fit = self._fit(step)
        probe = self._probe(fit)
        fresh = self._fresh(stage.task, probe)
        with silenced(type(method).__module__):
            if isinstance(step, Retrain):
                state = method.adopt(self.start, stage.task, fresh, fit)
            else:
                state = method.learn(self._before(step), stage.task, fresh, fit if step.asked else untouched)
        self.states[stage.task] = state
        if step.asked:
            row = self._row(stage, state, fit, stored_whole=stage.moves_shared or not self.bundled)
            requested = self.requested + probe.requested
            self.bundled, self.requested = True, 0
            training = row.training + requested * row.cost.seconds / row.batch
            yield replace(row, forgets=method.forgets, training=training)

    def _before(self, step: Learn) -> NetState:
        """Return the state from which a task is learned."""
        state = self.states.get(step.start.task, self.start)
        for task in step.needs:
            state = state.add(task, self.states[task].deltas[task])
        return state

    def _together(self, step: LearnTogether) -> Training:
        """Return, for the first task, the one training of all tasks; for each other task, its test only."""
        stage = step.stage
        if self.joint is None:
            self.joint = self._jointly(step)
        state, fit = self.joint
        (found,) = fit.found
        row = self._row(stage, state, fit, stored_whole=stage.index == 0)
        testing = self._testing(stage, state, found.cost)
        if stage.index > 0:
            return replace(row, steps=0, stored=0, training=0.0, checking=testing)
        seen = found.steps * row.batch
        loading = sum(loading_seconds(found.cost, self._part(n, self.data[n].train), seen) for n in step.tasks)
        validated = sum(len(self.data[name].validation) for name in step.tasks)  # once, at the end
        return replace(
            row,
            training=overlapped(found.steps * found.cost.seconds, loading, self._workers),
            checking=validated * found.cost.scoring / len(step.tasks) + testing,
        )

    def _jointly(self, step: LearnTogether) -> tuple[NetState, Measuring]:
        members = {
            name: Member(task=self.tasks[name], data=self.data[name], config=self._config(name)) for name in step.tasks
        }
        fit = self._measuring(joint_job(self.net, step.method, members), step.stage.method)
        return joint_state(self.net, step.method, members, fit), fit

    def _probe(self, fit: Measuring) -> CountingProbe:
        return CountingProbe(probe=make_probe(self.net.backbone, fit.job, self.resolved.device))

    def _fresh(self, name: str, probe: CountingProbe) -> Fresh:
        def logits(other: str) -> bool:
            return traits_of(self.tasks[other].kind).logits

        return fresh_of(self.net, self.tasks[name], self._seed(name), logits=logits, probe=probe)

    def _fit(self, step: First | Remember | Retrain | Learn) -> Measuring:
        name, label = step.stage.task, f"{step.stage.method}/{step.stage.task}"
        splits, config = self.data[name], self._config(name)
        job = job_of(self.tasks[name], splits, label, step.method, config, self._seed(name), Path())
        return self._measuring(job, name)

    def _measuring(self, job: Job, key: str) -> Measuring:
        job = replace(job, recipe=replace(job.recipe, batch=job.recipe.batch // self.devices))
        return Measuring(net=self.net, job=job, key=key, resolved=self.resolved, costs=self.costs, say=self.say)

    def _config(self, name: str) -> Learning:
        return learning(self.experiment, self.experiment.plan(name), Session(out=Path(), root=self.root), Path())

    def _row(self, stage: Stage, state: NetState, fit: Measuring, *, stored_whole: bool) -> Training:
        name, cost, growth = stage.task, fit.found[-1].cost, fit.found[-1].growth
        trained = [(found.cost, replace(fit.job.recipe, steps=found.steps)) for found in fit.found]
        self.scoring[name] = cost.scoring
        stored = len(encode_delta(state.deltas[name], raw=True))
        if stored_whole:  # a new bundle, which also holds the earlier tasks
            stored = len(encode_backbone(arrays_of(state.shared), state.stored)) + sum(
                len(encode_delta(delta, raw=True)) for delta in state.deltas.values()
            )
        sizes = measure_sizes(self.net.with_state(state, {}), name)
        return Training(
            stage=stage,
            steps=sum(recipe.steps for _, recipe in trained),
            batch=fit.job.recipe.batch * self.devices,
            crop=self.experiment.plan(name).view.crop,
            sizes=replace(sizes, delta=sizes.delta + growth),
            stored=stored + growth,
            cost=cost,
            training=sum(self._training(name, *each) for each in trained),
            checking=sum(self._validating(name, *each) for each in trained) + self._testing(stage, state, cost),
        )

    def _training(self, name: str, cost: StepCost, recipe: Recipe) -> float:
        part = self._part(name, self.data[name].train)
        return training_seconds(cost, part, steps=recipe.steps, batch=recipe.batch, workers=self._workers)

    def _validating(self, name: str, cost: StepCost, recipe: Recipe) -> float:
        part, every = self._part(name, self.data[name].validation), self.resolved.settings.evaluate_every
        return validating_seconds(cost, part, steps=recipe.steps, every=every, workers=self._workers)

    def _testing(self, stage: Stage, state: NetState, cost: StepCost) -> float:
        """Return the seconds of the test: of all tasks if the shared weights have moved, else of the new one."""
        return sum(
            len(self.data[name].test) * self._area(name) * (self.scoring.get(name, cost.scoring) + cost.loading)
            for name in (state.deltas if stage.moves_shared else (stage.task,))
        )

    def _part(self, name: str, examples: Examples) -> Part:
        """Return the size of examples; the bytes of one are measured on the first of the training part."""
        first = resized(self.data[name].train[0], self.experiment.plan(name).view)
        return Part(examples=len(examples), bytes=bytes_of(first))

    @property
    def _workers(self) -> int:
        return self.resolved.settings.workers

    def _area(self, name: str) -> float:
        """Return the pixels of a test image relative to those of the crop, measured on the first one."""
        view = self.experiment.plan(name).view
        if view.test == "crop":
            return 1.0
        _, height, width = resized(self.data[name].test[0], view).image.shape
        return height * width / view.crop**2

    def _seed(self, name: str) -> int:
        return task_seed(self.experiment.seed, name)


def bound_tasks(experiment: Experiment, data: Mapping[str, TaskData], root: Path) -> dict[str, Task]:
    """Return the tasks, with style tasks bound without a trained backbone: random filters replace a stand-in."""
    tasks: dict[str, Task] = {plan.name: plan.task for plan in experiment.tasks}
    styles = {name: task for name, task in tasks.items() if isinstance(task, PerceptualTask)}
    if not styles:
        return tasks
    if experiment.perceptual.source == "vgg":
        network = vgg(next(iter(styles.values())).preset, experiment.perceptual.weights)
    else:
        images = data[experiment.tasks[0].name].train
        network = random_standin(calibration_image(images[index]) for index in spread(_SEEN, len(images)))
    return tasks | {name: bind_style(task, network, root) for name, task in styles.items()}
