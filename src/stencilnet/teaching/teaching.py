"""Teaches a bundle a new task: plans it from folders, learns it, and compares it with the trivial answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from stencilnet.bundle import TaskRecord, task_names
from stencilnet.bundle.summary import summary
from stencilnet.config.reading import from_plain
from stencilnet.config.schema import TASK_NAME, Experiment, TaskPlan
from stencilnet.cores import cores
from stencilnet.data.samples import bytes_of
from stencilnet.data.transforms import resized
from stencilnet.evaluation.evaluate import evaluate
from stencilnet.experiment.adding import add_opened, bound_task, check_bundle
from stencilnet.experiment.costing import Part, training_seconds, validating_seconds
from stencilnet.experiment.measuring import Measuring
from stencilnet.experiment.session import Session, learning
from stencilnet.experiment.testing import Tester
from stencilnet.kinds.catalog import kind_from_record, kinds
from stencilnet.kinds.kind import LabelKind
from stencilnet.learning.counting import check_data
from stencilnet.learning.learn import Learning, evaluation_samples, fresh_of, job_of, task_seed
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.methods import Method, QuantizedDelta
from stencilnet.models import MultiTaskNet
from stencilnet.storage import write_text
from stencilnet.tasks.task import Metric, Task
from stencilnet.teaching.choosing import choose, evaluate_every, steps_within, with_steps
from stencilnet.teaching.looking import FolderFacts, look
from stencilnet.teaching.request import Request, Style, TeachError
from stencilnet.text.strict_json import dumps, loads
from stencilnet.training.settings import resolve
from stencilnet.training.sinks import Files, TrainingInfo
from stencilnet.training.timing import StepCost

CONFIG, REQUEST = "teach.yaml", "unfinished.json"

_CROP = 128
"""Side of crops, if a bundle does not tell what its backbone was trained at."""
_PATIENCE = 10.0
"""Seconds that steps are measured for: the number of steps is fixed by it, so it should not be far off."""
_BUSY = 0.2
"""Share of a step's time from which on loading is given processes of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """A task that is ready to be learned.

    Attributes:
        request: What was asked for.
        found: What the folders hold; None if an interrupted training is continued.
        config: The config, as plain YAML data.
        experiment: The config.
        root: Root folder of the config's relative paths.
        data: The task's data.
        task: The task; a style is bound to its painting.
        cost: Measured cost of a step; None if an interrupted training is continued.
        seconds: Expected seconds of the training, with its evaluations; None as above.
        notes: Remarks on the data, a sentence each.
    """

    request: Request
    found: FolderFacts | None
    config: dict[str, Any]
    experiment: Experiment
    root: Path
    data: TaskData
    task: Task
    cost: StepCost | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def plan(self) -> TaskPlan:
        """The config's task."""
        return self.experiment.tasks[0]

    @property
    def path(self) -> Path:
        """The file of the config."""
        return self.request.folder / CONFIG


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
        if isnan(self.trivial):
            return True
        return self.value > self.trivial if self.metric.higher_is_better else self.value < self.trivial


def prepare(request: Request, say: Callable[[str], None]) -> Lesson:
    """Check a request, look into its folders and choose a config; nothing is written.

    If the request's folder holds an interrupted training of the same request, that one's config is read instead.

    Args:
        request: The request.
        say: Called with a message before each longer piece of work.

    Raises:
        TeachError: If the name cannot be used, or the request cannot be met.
        RunError: If the bundle has no trained backbone or cannot be written to.
        ValueError: If the bundle, a folder or a file cannot be read or does not fit.
    """
    net = _checked(request)
    root = request.form.painting.absolute().parent if isinstance(request.form, Style) else Path()
    say("reading the folders")
    kept = _kept(request)
    if kept is not None:
        experiment = from_plain(kept, str(request.folder / CONFIG))
        data, notes = _opened(experiment, root)
        task = bound_task(experiment, experiment.tasks[0], net, root)
        return Lesson(
            request=request,
            found=None,
            config=kept,
            experiment=experiment,
            root=root,
            data=data,
            task=task,
            notes=notes,
        )
    found = look(request.form)
    chosen = choose(request, found, _crop_of(net))
    lesson = _lesson(request, found, with_steps(chosen, request.steps or 1), net, root)
    say("measuring how long a step takes")
    cost = _measured(lesson, net)
    device = resolve(lesson.experiment.trainer).device
    slow = lesson.plan.recipe.batch * cost.loading > _BUSY * cost.seconds
    workers = min(4, cores() - 1) if slow and (device != "cpu" or cores() > 2) else 0
    seconds = _clock(lesson, cost, workers)
    steps = request.steps or steps_within(
        60 * request.minutes, seconds, pictures=len(lesson.data.train), batch=lesson.plan.recipe.batch
    )
    config = with_steps(chosen, steps, workers=workers)
    experiment = from_plain(_copied(config), CONFIG)
    return replace(lesson, config=config, experiment=experiment, cost=cost, seconds=seconds(steps))


def teach(lesson: Lesson, session: Session) -> Taught:
    """Learn a task and add it to its bundle; an interrupted training continues where it stopped.

    Args:
        lesson: The task, from `prepare`.
        session: How to train; its folders and `resume` are set here.

    Raises:
        Interrupted: If it was stopped; the same request continues it.
        TeachError: If the bundle has got a task of this name meanwhile.
    """
    request, folder, name = lesson.request, lesson.request.folder, lesson.plan.name
    folder.mkdir(parents=True, exist_ok=True)
    if lesson.found is not None:
        write_text(lesson.path, as_yaml(lesson))
        write_text(folder / REQUEST, dumps(_asked(request), indent=2) + "\n")
    session = replace(
        session, out=folder, root=lesson.root, resume=True, sinks=(*session.sinks, _Curves(folder, Files()))
    )
    record = add_opened(request.bundle, lesson.experiment, lesson.plan, lesson.data, session, lesson.task)
    if record is None:
        raise _taken(request)
    metric = lesson.task.metrics[0]
    trivial = _trivial(lesson)[metric.name]
    (folder / REQUEST).unlink()
    (folder / lesson.experiment.methods[0].name).rmdir()  # the training's own folder, which is empty now
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


def as_yaml(lesson: Lesson, *, ascii_only: bool = False) -> str:
    """Return a lesson's config as YAML; with `ascii_only`, other characters are escaped."""
    text: str = yaml.safe_dump(lesson.config, sort_keys=False, allow_unicode=not ascii_only, width=110)
    return text


def first_picture(lesson: Lesson) -> Path:
    """Return the file of the first picture that was held out: one to try the task on."""
    origin = lesson.data.validation.origin
    assert origin is not None, "folders hold files"
    return origin(0).files[0]


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


def _checked(request: Request) -> MultiTaskNet:
    """Check name and bundle; return the bundle's network."""
    if not TASK_NAME.fullmatch(request.name) or request.name == "bundle":
        raise TeachError(
            f"{request.name!r} cannot be a task's name: use 1 to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter "
            "or digit, and not the word `bundle`."
        )
    if request.name in task_names(request.bundle):
        raise _taken(request)
    net = check_bundle(request.bundle, QuantizedDelta())
    known = {name: record for name, record in net.records.items() if record.kind in kinds()}
    labels = [n for n, record in known.items() if isinstance(kind_from_record(record.kind, record.settings), LabelKind)]
    if labels:
        raise TeachError(
            f"{request.bundle} gives labels of whole photos (task {labels[0]}), and its backbone cannot give pictures. "
            "Teach a bundle whose tasks give pictures."
        )
    return net


def _taken(request: Request) -> TeachError:
    return TeachError(
        f"{request.bundle} already has a task {request.name}. Choose another name, or remove it first: "
        f"stencil remove {request.bundle} {request.name}"
    )


def _kept(request: Request) -> dict[str, Any] | None:
    """Return the config of an interrupted training of the same request; None if there is none."""
    path, config = request.folder / REQUEST, request.folder / CONFIG
    if not (path.exists() and config.exists()):
        return None
    try:
        asked = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TeachError(f"{path} is damaged ({error}). Delete the folder {path.parent} to start afresh.") from error
    mine = _asked(request)
    if asked != mine:
        keys = sorted(key for key in {*asked, *mine} if asked.get(key) != mine.get(key))
        was = ", ".join(f"{key} was {asked.get(key)}, is {mine.get(key)}" for key in keys)
        raise TeachError(
            f"{path.parent} holds an interrupted training that was asked for otherwise: {was}. Repeat the first "
            "command to continue it, delete the folder to start afresh, or choose another --out."
        )
    found: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    return found


def _asked(request: Request) -> dict[str, Any]:
    return {"bundle": str(request.bundle.absolute()), **request.plain()}


def _lesson(request: Request, found: FolderFacts, config: dict[str, Any], net: MultiTaskNet, root: Path) -> Lesson:
    experiment = from_plain(_copied(config), CONFIG)
    data, notes = _opened(experiment, root)
    task = bound_task(experiment, experiment.tasks[0], net, root)
    return Lesson(
        request=request,
        found=found,
        config=config,
        experiment=experiment,
        root=root,
        data=data,
        task=task,
        notes=notes,
    )


def _copied(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config as its file will be read."""
    found: dict[str, Any] = yaml.safe_load(yaml.safe_dump(config))
    return found


def _opened(experiment: Experiment, root: Path) -> tuple[TaskData, tuple[str, ...]]:
    plan = experiment.tasks[0]
    data = open_data(plan, root)
    return data, check_data(plan, data, parts=("train", "validation"))


def _crop_of(net: MultiTaskNet) -> int:
    """Return the side of the crops that the backbone was trained at."""
    first = next(iter(net.records.values()))
    crop = (first.recipe.get("view") or {}).get("crop")
    return crop if isinstance(crop, int) and crop > 0 else _CROP


def _config(lesson: Lesson) -> Learning:
    return learning(lesson.experiment, lesson.plan, Session(out=Path(), root=lesson.root), Path())


def _measured(lesson: Lesson, net: MultiTaskNet) -> StepCost:
    """Return the measured cost of a step."""
    method, plan, experiment = lesson.experiment.methods[0].method, lesson.plan, lesson.experiment
    assert isinstance(method, Method), "it adds tasks"
    seed = task_seed(experiment.seed, plan.name)
    job = job_of(lesson.task, lesson.data, plan.name, method, _config(lesson), seed, Path())
    resolved = resolve(experiment.trainer)
    fit = Measuring(
        net=net, job=job, key=plan.name, resolved=resolved, costs={}, say=lambda _: None, patience=_PATIENCE
    )
    method.learn(net.state, plan.name, fresh_of(net, lesson.task, seed), fit)
    return fit.found[-1].cost


def _clock(lesson: Lesson, cost: StepCost, workers: int) -> Callable[[int], float]:
    """Return the function that gives the seconds of a training of so many steps, with its evaluations."""
    data, plan = lesson.data, lesson.plan
    size = bytes_of(resized(data.train[0], plan.view))
    train, held = (Part(examples=len(part), bytes=size) for part in (data.train, data.validation))

    def seconds(steps: int) -> float:
        training = training_seconds(cost, train, steps=steps, batch=plan.recipe.batch, workers=workers)
        every = evaluate_every(max(1, steps))
        return training + validating_seconds(cost, held, steps=steps, every=every, workers=workers)

    return seconds


def _trivial(lesson: Lesson) -> dict[str, float]:
    """Return the metrics of the trivial answer on the pictures held out."""
    name = lesson.plan.name
    tester = Tester(
        experiment=lesson.experiment, tasks={name: lesson.task}, data=lambda _: lesson.data, root=lesson.root
    )
    samples = evaluation_samples(lesson.task, lesson.data, _config(lesson))
    return evaluate(tester.baseline(name), lesson.task, samples)
