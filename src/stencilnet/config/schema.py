"""The schema of a config file. Each section is the frozen dataclass of the package that reads it."""

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from stencilnet.bundle.architecture import VGG_LEAST
from stencilnet.data.classes import ClassFoldersSource
from stencilnet.data.samples import check_view
from stencilnet.data.sources import HoldOut, LabelledSource, Source
from stencilnet.data.transforms import View
from stencilnet.delta.rounding import Stored, check_stored, seed_number
from stencilnet.methods import AnyMethod, JointMethod, registered
from stencilnet.methods.registry import NAME, RESERVED
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.task import LabelMapTask, LabelTask, Recipe, Task
from stencilnet.text.fields import FieldError, check_fields
from stencilnet.training.settings import Settings

PAPER_WIDTH = 64
"""Width of the paper's U-Net, and of VGG13."""

TASK_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """The network that all tasks share, and its initial weights."""

    kind: Literal["unet", "vgg16"] = "unet"
    """``unet``: the paper's network, for pictures. ``vgg16``: the original Piggyback's, for classification."""
    width: int | None = None
    """For ``unet``: channels of its first level. Default: 64, as in the paper."""
    norm: Literal["instance", "affine", "own"] = "instance"
    """For ``unet``. ``instance``: the paper's instance norm, without weights. ``affine``: with a scale and a shift per
    channel, trained by the first task; later tasks may have their own (`norm` of piggyback), 31 KiB each at width 64.
    ``own``: as ``affine``, but methods that train whole networks, also on the first task, leave them at 1 and 0, as
    in the paper."""
    init: Literal["random", "vgg13", "imagenet"] = "random"
    """Initial weights. ``random``: drawn by the seed. ``vgg13``, for a ``unet`` of width 64: VGG13's ImageNet weights
    in the encoder, random ones in the decoder. ``imagenet``, for ``vgg16``: torchvision's. Scratch and the decoder
    baseline always start from random weights, as in the paper."""
    weights: str | None = None
    """Source of the weights, unless random: ``cache`` (torch's cache, the default), ``download``, or a file."""
    frozen: bool = False
    """Whether the first task keeps the initial weights and learns its head only (Mallya et al. 2018)."""
    stored: Stored = "float32"
    """Format in which bundles store the shared weights of two or more dimensions; the network runs in float32 all the
    same. The weights are rounded to it once, after the first task and before any other is learned. ``float16`` halves
    the bytes; ``int8``, with a scale per index of a weight's first dimension, quarters them. ``seed:N``: the weights
    are random, generated from the number N, and take next to no bytes. No task trains them: the first is learned as a
    quantised delta over them, with default settings."""

    def __post_init__(self) -> None:
        try:
            check_stored(self.stored)
        except ValueError as error:
            raise FieldError(("stored", str(error))) from None
        check_fields(
            ("width", self.width is None or self.width >= 1, f"to be at least 1, but got {self.width}"),
            ("weights", self.weights != "", "to be `cache`, `download` or a file, but got an empty string"),
            *(("", False, problem) for problem in (*self._unfit_kind(), *self._unfit_start())),
        )
        if self.kind == "unet" and self.width is None:
            object.__setattr__(self, "width", PAPER_WIDTH)
        if self.init != "random" and self.weights is None:
            object.__setattr__(self, "weights", "cache")

    def _unfit_kind(self) -> list[str]:
        if self.kind == "unet":
            return []
        return [
            *([] if self.width is None else [f"no `width` with `kind: {self.kind}`, but got {self.width}"]),
            *(
                []
                if self.norm == "instance"
                else [f"no `norm: {self.norm}` with `kind: {self.kind}`, which has no norm"]
            ),
        ]

    def _unfit_start(self) -> list[str]:
        problems = []
        if self.init == "vgg13" and (self.kind != "unet" or self.width not in (None, PAPER_WIDTH)):
            got = f"`kind: {self.kind}`" if self.kind != "unet" else f"`width: {self.width}`"
            problems.append(f"`init: vgg13` to come with `kind: unet` and `width: {PAPER_WIDTH}`, but got {got}")
        if seed_number(self.stored) is not None and (self.init != "random" or self.frozen):
            got = "`frozen: true`" if self.frozen else f"`init: {self.init}`"
            problems.append(f"`init: random` and no `frozen` with `stored: {self.stored}`, but got {got}")
        if self.init == "imagenet" and self.kind != "vgg16":
            problems.append(f"`init: imagenet` to come with `kind: vgg16`, but got `kind: {self.kind}`")
        if self.init == "random" and self.weights is not None:
            problems.append(f"no `weights` with `init: random`, but got {self.weights!r}")
        return problems


@dataclass(frozen=True, kw_only=True)
class Perceptual:
    """The perceptual network of style losses."""

    source: Literal["vgg", "standin"] = "vgg"
    """``vgg``: VGG with torchvision's ImageNet weights. ``standin``: a stand-in built from the backbone, for machines
    without these weights."""
    weights: str = "cache"
    """For ``vgg``: ``cache`` (torch's cache), ``download``, or a file."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Sources of a task's examples."""

    about: str
    """Short description of the data, for the table of tasks."""
    train: Source
    """Training examples."""
    validation: Source | None = None
    """Examples that select the training step and all settings. Default: the `holdout` part of the training examples."""
    test: Source | None = None
    """Test examples, used once, for the tables. Default: the validation examples, whose numbers are a little too good,
    since they have selected the training step; results say so."""
    holdout: HoldOut = field(default_factory=HoldOut)
    """Which training examples are held out for validation if `validation` is not given."""
    drop_gray: bool = False
    """Leave out photos without colour, for colorization. Their number is logged."""

    def __post_init__(self) -> None:
        if isinstance(self.train, ClassFoldersSource) and not self.holdout.group:
            # As a single group, the last examples would be whole classes.
            object.__setattr__(self, "holdout", replace(self.holdout, group="^[^/]+"))


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """One task of the sequence."""

    name: str
    """Its name in the bundle: lower case, digits, ``.``, ``_``, ``-``."""
    title: str
    """Its name in tables and pictures."""
    task: Task
    """Task kind (one of `stencilnet.kinds.catalog.kinds`) and its settings."""
    data: Data
    """Its examples."""
    view: View = field(default_factory=View)
    """Crop, scale and flip."""
    recipe: Recipe = field(default_factory=Recipe)
    """How it is trained; settings that are left out default to those of the task kind."""

    def __post_init__(self) -> None:
        check_fields(
            ("name", bool(TASK_NAME.fullmatch(self.name)), f"to match {TASK_NAME.pattern}, but got {self.name!r}")
        )
        if self.name == "bundle":
            reserved = "`name: bundle` is reserved: a run keeps a method's bundle there. Choose another name."
            raise FieldError(("name", reserved))
        check_view(self.view, self.task)
        _check_thresholds(self.task, self.data)


def _check_thresholds(task: Task, data: Data) -> None:
    """Check that a task whose labels are made by a threshold has two classes."""
    named = {"train": data.train, "validation": data.validation, "test": data.test}
    cut = [key for key, source in named.items() if isinstance(source, LabelledSource) and source.threshold is not None]
    if cut and isinstance(task, LabelMapTask) and len(task.classes) != 2:
        raise ValueError(
            f"Expected two classes with `threshold`, for values below it and from it on, but got {len(task.classes)}, "
            f"with `threshold` in data.{', data.'.join(cut)}. Without it, label maps hold class indices."
        )


@dataclass(frozen=True, kw_only=True)
class MethodPlan:
    """One method of the comparison."""

    name: str = ""
    """Its name in folders, tables and `--methods`: lower case, digits, ``_``, ``-``. Default: the method's kind; if a
    config has a kind twice, at least one of the two needs a name."""
    method: AnyMethod
    """The method and its settings."""
    tasks: tuple[str, ...] = ()
    """Names of the tasks it learns after the first; empty for all."""
    parents: dict[str, str] = field(default_factory=dict)
    """For methods that move the shared weights: the earlier task whose state a task starts from, by the task's name."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.method.name)
        check_fields(("name", bool(NAME.fullmatch(self.name)), f"to match {NAME.pattern}, but got {self.name!r}"))
        taken = {*RESERVED, *(registered().keys() - {self.method.name})}
        if self.name in taken:
            reserved = (
                f"`name: {self.name}` is reserved. Choose another name for this {self.method.name} method. Reserved: "
                f"{', '.join(sorted(taken))}."
            )
            raise FieldError(("name", reserved))


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A whole config file."""

    title: str
    """Heading of the report."""
    seed: int = 0
    """Seed of all random draws: weights, data order, crops."""
    backbone: Backbone = field(default_factory=Backbone)
    """The network."""
    perceptual: Perceptual = field(default_factory=Perceptual)
    """The perceptual network of style losses."""
    trainer: Settings = field(default_factory=Settings)
    """Device, precision, how often to evaluate and save."""
    methods: tuple[MethodPlan, ...]
    """Methods in order; the first one's bundle is the run's main bundle."""
    tasks: tuple[TaskPlan, ...]
    """Tasks in order; the first one trains the backbone."""
    pictures: int = 4
    """Number of test examples shown in the report."""
    reference: Literal["none", "paper"] = "none"
    """``paper``: the tasks are the paper's six, in its order, and the report shows its Table 2 beside the run's."""

    def __post_init__(self) -> None:
        problems = [
            *_name_problems(self.tasks, self.methods),
            *_method_problems(self.tasks, self.methods),
            *_network_problems(self.backbone, self.tasks, self.methods),
        ]
        presets = sorted(set(self.presets))
        if len(presets) > 1:
            problems.append(f"all style tasks to have the same `preset` (they share a network), but got {presets}")
        check_fields(
            ("pictures", self.pictures >= 0, f"to be at least 0, but got {self.pictures}"),
            *(("", False, problem) for problem in problems),
        )

    @property
    def presets(self) -> tuple[str, ...]:
        """Presets of the tasks whose losses use a perceptual network, in the tasks' order."""
        return tuple(plan.task.preset for plan in self.tasks if isinstance(plan.task, PerceptualTask))

    def plan(self, task: str) -> TaskPlan:
        """Return a task's plan by name."""
        return next(plan for plan in self.tasks if plan.name == task)

    def learned_by(self, method: MethodPlan) -> tuple[str, ...]:
        """Return the names of the tasks after the first that a method learns, in order."""
        return tuple(plan.name for plan in self.tasks[1:] if not method.tasks or plan.name in method.tasks)


def _name_problems(tasks: tuple[TaskPlan, ...], methods: tuple[MethodPlan, ...]) -> list[str]:
    names = [plan.name for plan in tasks]
    called = [plan.name for plan in methods]
    return [
        *([] if tasks else ["`tasks` to hold at least one task"]),
        *([] if methods else ["`methods` to hold at least one method"]),
        *([] if len(set(names)) == len(names) else [f"task names to differ, but got {names}"]),
        *(
            []
            if len(set(called)) == len(called)
            else [f"method names to differ (`name`; default: the kind), but got {called}"]
        ),
    ]


def _method_problems(tasks: tuple[TaskPlan, ...], methods: tuple[MethodPlan, ...]) -> list[str]:
    order = {plan.name: position for position, plan in enumerate(tasks)}
    later = list(order)[1:]
    problems = []
    for plan in methods:
        name = plan.name
        problems += [
            f"{name}'s tasks to be among {later}, but got {task!r}" for task in plan.tasks if task not in later
        ]
        if plan.parents and not plan.method.moves_shared:
            problems.append(f"{name} to have no `parents`: it never moves the shared weights")
        learned = [task for task in later if not plan.tasks or task in plan.tasks]
        problems += [
            f"{name}'s `parents` to name the first task or tasks that it learns, {learned}, but got {task!r}"
            for task in dict.fromkeys(task for pair in plan.parents.items() for task in pair)
            if task in later and task not in learned
        ]
        problems += [
            f"{name}'s parent of {child!r} to be an earlier task, but got {parent!r}"
            for child, parent in plan.parents.items()
            if order.get(parent, len(order)) >= order.get(child, -1)
        ]
    return problems


def _network_problems(backbone: Backbone, tasks: tuple[TaskPlan, ...], methods: tuple[MethodPlan, ...]) -> list[str]:
    labels = backbone.kind == "vgg16"
    others = [f"`{p.name}` is {p.task.kind}" for p in tasks if isinstance(p.task, LabelTask) != labels]
    problems = []
    if others:
        wanted = "tasks that give a label for a whole picture" if labels else "tasks that give pictures"
        problems.append(f"only {wanted} with backbone {backbone.kind}, but {', '.join(others)}")
    if labels:
        problems += [
            f"no method {plan.name} with backbone vgg16, which has no decoder"
            for plan in methods
            if plan.method.needs_decoder
        ]
    if seed_number(backbone.stored) is not None:
        problems += [
            f"no method {plan.name} with `stored: {backbone.stored}`: it starts from what the first task has trained, "
            "but the shared weights are random"
            for plan in methods
            if plan.method.needs_trained_backbone
        ]
    for method in methods:
        learned = [plan for plan in tasks if plan is tasks[0] or not method.tasks or plan.name in method.tasks]
        if isinstance(method.method, JointMethod) and len({plan.view.crop for plan in learned}) > 1:
            crops = ", ".join(f"{plan.name} {plan.view.crop}" for plan in learned)
            problems.append(
                f"the same `view.crop` for all tasks of method {method.name}, which share a batch, but got {crops}"
            )
    if backbone.norm == "instance":
        problems += [
            f"a backbone with `norm: own` or `affine` for {plan.name}, which trains norms, but got `norm: instance`"
            for plan in methods
            if plan.method.trains_norms
        ]
    for plan in tasks:
        if isinstance(plan.task, LabelTask) and plan.view.crop < VGG_LEAST:
            problems.append(f"{plan.name}'s crop to be at least {VGG_LEAST} px for VGG16, but got {plan.view.crop}")
    return problems


def order_problems(experiment: Experiment) -> list[str]:
    """Return why methods cannot learn their tasks in the config's order, in a run that starts with its first task."""
    return [
        f"methods.{position}.method.{problem}"
        for position, plan in enumerate(experiment.methods)
        for problem in plan.method.order_problems(experiment.learned_by(plan))
    ]


def sources(plan: TaskPlan) -> dict[str, Source]:
    """Return a task's sources by config key: ``train``, ``validation``, ``test``."""
    named = {"train": plan.data.train, "validation": plan.data.validation, "test": plan.data.test}
    return {key: source for key, source in named.items() if source is not None}
