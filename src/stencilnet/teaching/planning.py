"""Plans a task from folders: checks the request, chooses a config, and measures how many steps fit in the time."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from stencilnet.bundle import task_names
from stencilnet.config.reading import from_plain
from stencilnet.config.schema import TASK_NAME, Experiment, TaskPlan
from stencilnet.cores import cores
from stencilnet.data.samples import bytes_of
from stencilnet.data.transforms import resized
from stencilnet.experiment.adding import bound_task, check_bundle
from stencilnet.experiment.costing import Part, training_seconds, validating_seconds
from stencilnet.experiment.measuring import Measuring
from stencilnet.experiment.session import Session, learning
from stencilnet.kinds.catalog import kind_from_record, kinds
from stencilnet.kinds.kind import LabelKind
from stencilnet.learning.counting import check_data
from stencilnet.learning.learn import Learning, fresh_of, job_of, task_seed
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.methods import Method, QuantizedDelta
from stencilnet.models import MultiTaskNet
from stencilnet.tasks.task import Task
from stencilnet.teaching.choosing import EVALUATIONS, choose, evaluations_within, steps_within, with_steps
from stencilnet.teaching.looking import FolderFacts, look
from stencilnet.teaching.request import Request, Style, TeachError
from stencilnet.text.strict_json import loads
from stencilnet.training.settings import resolve
from stencilnet.training.timing import StepCost

CONFIG, REQUEST = "teach.yaml", "unfinished.json"

_CROP = 128
"""Side of crops, if a bundle does not tell what its backbone was trained at."""
_PATIENCE = 0.1, 30.0
"""Share of the time, and seconds, that steps may be measured for: their number is fixed by it. Slower ones are measured
on a part of their batch: less exactly, since a step also costs what does not grow with its batch."""
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
    say("looking into the folders")
    kept = _kept(request)
    if kept is not None:
        return _lesson(request, None, kept, net, root, say)
    found = look(request.form)
    chosen = choose(request, found, _crop_of(net))
    lesson = _lesson(request, found, with_steps(chosen, 1, every=1), net, root, say)
    say("measuring how long a step takes")
    cost = _measured(lesson, net)
    clock = _clock(lesson, cost)
    budget = 60 * request.minutes
    checks = EVALUATIONS if request.steps else evaluations_within(budget, clock.evaluation())
    steps = request.steps or steps_within(
        budget,
        lambda count: clock.training(count) + checks * clock.evaluation(),
        pictures=len(lesson.data.train),
        batch=lesson.plan.recipe.batch,
    )
    config = with_steps(chosen, steps, every=math.ceil(steps / checks), workers=clock.workers)
    return replace(
        lesson,
        config=config,
        experiment=from_plain(_copied(config), CONFIG),
        cost=cost,
        seconds=clock.training(steps) + min(checks, steps) * clock.evaluation(),
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


def _checked(request: Request) -> MultiTaskNet:
    """Check name and bundle; return the bundle's network."""
    if not TASK_NAME.fullmatch(request.name) or request.name == "bundle":
        raise TeachError(
            f"{request.name!r} cannot be a task's name: use 1 to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter "
            "or digit, and not the word `bundle`."
        )
    if request.name in task_names(request.bundle):
        raise taken(request)
    _check_apart(request)
    net = check_bundle(request.bundle, QuantizedDelta())
    known = {name: record for name, record in net.records.items() if record.kind in kinds()}
    labels = [n for n, record in known.items() if isinstance(kind_from_record(record.kind, record.settings), LabelKind)]
    if labels:
        raise TeachError(
            f"{request.bundle} gives labels of whole photos (task {labels[0]}), and its backbone cannot give pictures. "
            "Teach a bundle whose tasks give pictures."
        )
    return net


def _check_apart(request: Request) -> None:
    """Check that the sample pictures of a training are not written among the pictures that it learns from."""
    folder = request.folder.resolve()
    for place in (place for place in vars(request.form).values() if isinstance(place, Path) and place.is_dir()):
        if folder.is_relative_to(place.resolve()):
            raise TeachError(
                f"The sample pictures would be written to {folder}, which lies in {place}, where they would count as "
                "pictures to learn from. Pass --out with a folder elsewhere."
            )


def taken(request: Request) -> TeachError:
    """Return the error of a name that the bundle has."""
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
        theirs = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TeachError(f"{path} is damaged ({error}). Delete the folder {path.parent} to start afresh.") from error
    mine = asked(request)
    if theirs != mine:
        keys = sorted(key for key in {*theirs, *mine} if theirs.get(key) != mine.get(key))
        was = ", ".join(f"{key} was {theirs.get(key)}, is {mine.get(key)}" for key in keys)
        raise TeachError(
            f"{path.parent} holds an interrupted training that was asked for otherwise: {was}. Repeat the first "
            "command to continue it, delete the folder to start afresh, or choose another --out."
        )
    found: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    return found


def asked(request: Request) -> dict[str, Any]:
    """Return as JSON data what an interrupted training must have in common with the request that continues it."""
    return {"bundle": str(request.bundle.absolute()), **request.plain()}


def _lesson(
    request: Request,
    found: FolderFacts | None,
    config: dict[str, Any],
    net: MultiTaskNet,
    root: Path,
    say: Callable[[str], None],
) -> Lesson:
    """Read a config, open and check its data, and bind its style."""
    experiment = from_plain(_copied(config), CONFIG)
    plan = experiment.tasks[0]
    data = open_data(plan, root)
    notes = check_data(plan, data, parts=("train", "validation"))
    if isinstance(request.form, Style):
        say("preparing the losses of the style")
    return Lesson(
        request=request,
        found=found,
        config=config,
        experiment=experiment,
        root=root,
        data=data,
        task=bound_task(experiment, plan, net, root),
        notes=notes,
    )


def _copied(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config as its file will be read."""
    found: dict[str, Any] = yaml.safe_load(yaml.safe_dump(config))
    return found


def _crop_of(net: MultiTaskNet) -> int:
    """Return the side of the crops that the backbone was trained at."""
    first = next(iter(net.records.values()))
    crop = (first.recipe.get("view") or {}).get("crop")
    return crop if isinstance(crop, int) and crop > 0 else _CROP


def learning_of(lesson: Lesson) -> Learning:
    """Return how a lesson's task is learned; its files have no folder yet."""
    return learning(lesson.experiment, lesson.plan, Session(out=Path(), root=lesson.root), Path())


def _measured(lesson: Lesson, net: MultiTaskNet) -> StepCost:
    """Return the measured cost of a step."""
    method, plan, experiment = lesson.experiment.methods[0].method, lesson.plan, lesson.experiment
    assert isinstance(method, Method), "it adds tasks"
    seed = task_seed(experiment.seed, plan.name)
    job = job_of(lesson.task, lesson.data, plan.name, method, learning_of(lesson), seed, Path())
    resolved, (share, most) = resolve(experiment.trainer), _PATIENCE
    fit = Measuring(
        net=net,
        job=job,
        key=plan.name,
        resolved=resolved,
        costs={},
        say=lambda _: None,
        patience=min(60 * lesson.request.minutes * share, most),
    )
    method.learn(net.state, plan.name, fresh_of(net, lesson.task, seed), fit)
    return fit.found[-1].cost


@dataclass(frozen=True, kw_only=True)
class _Clock:
    """The seconds of a training, from the measured cost of a step."""

    cost: StepCost
    batch: int
    workers: int
    train: Part
    held: Part

    def training(self, steps: int) -> float:
        return training_seconds(self.cost, self.train, steps=steps, batch=self.batch, workers=self.workers)

    def evaluation(self) -> float:
        return validating_seconds(self.cost, self.held, steps=1, every=1, workers=self.workers)


def _clock(lesson: Lesson, cost: StepCost) -> _Clock:
    plan, data = lesson.plan, lesson.data
    size = bytes_of(resized(data.train[0], plan.view))
    slow = plan.recipe.batch * cost.loading > _BUSY * cost.seconds
    device = resolve(lesson.experiment.trainer).device
    return _Clock(
        cost=cost,
        batch=plan.recipe.batch,
        workers=min(4, cores() - 1) if slow and (device != "cpu" or cores() > 2) else 0,
        train=Part(examples=len(data.train), bytes=size),
        held=Part(examples=len(data.validation), bytes=size),
    )
