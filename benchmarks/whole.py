"""The cost of a whole training, with its data, logs, checkpoints and validation, against its steps alone."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from benchmarks.machine import Measured
from benchmarks.rows import WIDTH, Found, Setting, compared, seconds
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment
from stencilnet.experiment.forecast import bound_tasks
from stencilnet.experiment.session import Session, learning
from stencilnet.learning.backbones import make_backbone
from stencilnet.learning.learn import fresh_of, job_of, task_seed
from stencilnet.learning.opening import Splits, open_data
from stencilnet.masks import Masks
from stencilnet.methods import Masking, Piggyback
from stencilnet.models import MultiTaskNet
from stencilnet.training.fit import make_fit
from stencilnet.training.job import Job
from stencilnet.training.loop import stepped
from stencilnet.training.settings import Resolved, resolve
from stencilnet.training.sinks import Sink, TensorBoard, tensorboard_installed
from stencilnet.training.timing import learner_for, load_batch

TASKS = ("things", "edges")
"""Tasks of the demo: one with a plain loss, one with a critic."""


def demo_run(setting: Setting) -> Found:
    """Time two trainings of the demo, as `stencil demo` runs them, against as many steps on a batch in memory."""
    name = "demo/small" if setting.width >= WIDTH // 4 else "demo/tiny"
    experiment = read_config(name, [f"trainer.device={setting.device}"])
    trainings = [_training(experiment, task) for task in TASKS]
    whole, alone = [], []
    for repetition in range(2 if name == "demo/small" else setting.repetitions):
        setting.say(f"repetition {repetition + 1}")
        times = [_both(training, setting) for training in trainings]
        whole.append(sum(first for first, _ in times))
        alone.append(sum(second for _, second in times))
    steps = sum(training.job.recipe.steps for training in trainings)
    rates = [Measured(values=tuple(steps / value for value in values)) for values in (whole, alone)]
    note = f"{name}, {' and '.join(TASKS)}, {steps} steps, {trainings[0].resolved.precision}"
    return compared(rates[0], rates[1], "steps/s", note)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Training:
    net: MultiTaskNet
    job: Job
    resolved: Resolved

    def masks(self) -> Masks:
        fresh = fresh_of(self.net, self.job.task, self.job.seed)
        return Masks(fresh.shared, self.net.layout.buffers, fresh.head, self.net.layout.masked)


def _training(experiment: Experiment, name: str) -> _Training:
    root = Path()
    plan, first = experiment.plan(name), experiment.tasks[0]
    data = {each.name: open_data(each, root, look=False) for each in (first, plan)}
    net = make_backbone(experiment.backbone, experiment.seed)
    config = learning(experiment, plan, Session(out=root, root=root), root)
    method = experiment.methods[0].method
    splits = Splits(train=data[name].train, validation=data[name].validation)
    task = bound_tasks(experiment, data, root)[name]
    seed = task_seed(experiment.seed, name)
    job = job_of(task, splits, name, method if isinstance(method, Masking) else Piggyback(), config, seed, root)
    return _Training(net=net, job=job, resolved=resolve(experiment.trainer))


def _both(training: _Training, setting: Setting) -> tuple[float, float]:
    """Return the seconds of a whole training and of its steps alone, half of which run before it and half after it."""
    steps = training.job.recipe.steps
    before = _alone(training, steps // 2)
    whole = _whole(training, setting)
    return whole, before + _alone(training, steps - steps // 2)


def _whole(training: _Training, setting: Setting) -> float:
    sinks: list[Sink] = [TensorBoard()] if tensorboard_installed() else []
    masks = training.masks()
    with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
        job = replace(training.job, folder=Path(folder))
        return seconds(lambda: make_fit(training.net.backbone, job, training.resolved, sinks)(masks), setting.device)


def _alone(training: _Training, steps: int) -> float:
    job = training.job
    learner = learner_for(training.net.backbone, training.masks(), job, training.resolved)
    batch, _ = load_batch(job)
    on_device = {name: tensor.to(training.resolved.device) for name, tensor in batch.items()}

    def step(done: int) -> dict[str, Tensor]:
        return stepped(learner, on_device, done, job.seed)

    step(0)
    return seconds(lambda: [step(done) for done in range(steps)], training.resolved.device)
