"""Learns one task into a network: what `train`, `add`, `compare`, `demo` and the Python API all call."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from stencilnet.data.samples import EvaluationSamples, TrainingSamples
from stencilnet.data.transforms import View
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.experiment.provenance import provenance
from stencilnet.masks import NetState, grown
from stencilnet.methods import (
    Decoder,
    Finetune,
    Fit,
    Fresh,
    HeadOnly,
    Method,
    NormOnly,
    Piggyback,
    Scratch,
    learn_first,
    learn_first_head,
)
from stencilnet.models import MultiTaskNet, TaskRecord
from stencilnet.tasks.task import Example, Recipe, Task
from stencilnet.training.distributed import ALONE, Group
from stencilnet.training.fit import Job, make_fit
from stencilnet.training.settings import Settings, resolve
from stencilnet.training.sinks import Sink


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """A task's examples, opened.

    Attributes:
        train: To learn from.
        validation: To select the step by. Never the test examples.
    """

    train: Sequence[Example]
    validation: Sequence[Example]


@dataclass(frozen=True, kw_only=True, eq=False)
class Learning:
    """How to learn one task.

    Attributes:
        view: Crop, scale and flip.
        recipe: Steps, batch, learning rate; None for the task kind's default.
        trainer: Device, precision, how often to evaluate and save.
        seed: Of the head, the data order and the crops. Tasks of one seed differ by their names.
        folder: Where checkpoints and curves go, and what `resume` goes on from; None for a temporary one.
        sinks: Further places for curves and progress, beside the folder's files.
        resume: Go on from the folder's checkpoint, if there is one.
        stop: Asked at every step; true ends the training in a resumable state.
        group: The processes that train together, a device each; this one leads.
        backbone: Where the first task of an empty network finds its backbone. ``fresh``: weights drawn by the seed, the
            network's own are not used. ``given``: it starts from the network's own weights, and trains them.
            ``frozen``: these stay as they are, bit for bit, and only the head is learned; running statistics that
            training moves become the task's own. Later tasks always build on the backbone as it is; scratch and the
            decoder baseline start from fresh weights whatever this says (the paper, Sec. 4.1).
    """

    view: View = field(default_factory=View)
    recipe: Recipe | None = None
    trainer: Settings = field(default_factory=Settings)
    seed: int = 0
    folder: Path | None = None
    sinks: Sequence[Sink] = ()
    resume: bool = False
    stop: Callable[[], bool] = bool
    group: Group = ALONE
    backbone: Literal["fresh", "given", "frozen"] = "fresh"

    def __post_init__(self) -> None:
        if self.backbone not in ("fresh", "given", "frozen"):
            raise ValueError(f"Expected `backbone` to be fresh, given or frozen, but got {self.backbone!r}.")


_FACTS = ("seconds", "precision", "compiled")
"""What a finished training says of itself that belongs to its task's provenance."""

_DEFAULTS: tuple[Method, ...] = (Piggyback(), Scratch(), Finetune(), Decoder(), HeadOnly(), NormOnly())

METHODS: dict[str, Method] = {method.name: method for method in _DEFAULTS}
"""Methods with their default settings, by name."""


def learn(
    net: MultiTaskNet,
    task: Task,
    data: Splits,
    *,
    name: str | None = None,
    method: str | Method = "piggyback",
    config: Learning | None = None,
) -> MultiTaskNet:
    """Learn a task and return a network that has it; the network passed in stays as it is.

    The first task of an empty network trains its backbone, whatever the method; every later one is learned by it. The
    backbone starts from fresh weights, unless `Learning.backbone` says otherwise.

    Args:
        net: The network so far.
        task: What to learn.
        data: Its examples.
        name: The task's name in the network; its kind if None.
        method: A method, or the name of one with its default settings.
        config: How to train; defaults if None.

    Raises:
        ValueError: If the method is unknown, the name is taken, or the data do not fit the task.
    """
    config = config or Learning()
    name = name or task.kind
    if name in net.tasks:
        raise ValueError(f"Expected a new task name, but {name!r} has been learned already. Pass another `name`.")
    if config.folder is None:
        with tempfile.TemporaryDirectory() as folder:
            return _learn(net, task, data, name, _method(method), config, Path(folder))
    return _learn(net, task, data, name, _method(method), config, config.folder)


def task_seed(seed: int, name: str) -> int:
    """Return a task's own seed: the same for every method, so that all start from the same head and data order."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6], "big")


def job_of(task: Task, data: Splits, name: str, method: Method, config: Learning, seed: int, folder: Path) -> Job:
    """Return what there is to train, by a task's own seed; nothing is read or written yet."""
    recipe = config.recipe or task.recipe()
    disk = None if config.trainer.cache is None else Path(config.trainer.cache)
    return Job(
        name=name,
        folder=folder,
        task=task,
        recipe=recipe,
        mask_lr=method.lr if isinstance(method, Piggyback) else recipe.lr,
        seed=seed,
        train=TrainingSamples(data.train, config.view, task, seed, disk=disk),
        validation=EvaluationSamples(data.validation, config.view, task, whole=False, disk=disk),
    )


def fresh_of(net: MultiTaskNet, task: Task, seed: int) -> Fresh:
    """Return the untrained tensors that a task may start from, by its own seed."""
    return Fresh(
        layout=net.layout,
        head=net.fresh_head(task.channels, torch.Generator().manual_seed(seed)),
        shared=net.fresh_weights(seed),
        seed=seed,
    )


def _learn(
    net: MultiTaskNet, task: Task, data: Splits, name: str, method: Method, config: Learning, folder: Path
) -> MultiTaskNet:
    recipe = config.recipe or task.recipe()
    label = method.name if net.tasks else BACKBONE
    resolved = resolve(config.trainer, config.group)
    job = job_of(task, data, f"{label}/{name}", method, config, task_seed(config.seed, name), folder)
    fit = make_fit(
        net.backbone, job, resolved, config.sinks, resume=config.resume, stop=config.stop, group=config.group
    )
    fresh = fresh_of(net, task, task_seed(config.seed, name))
    state = (
        method.learn(net.state, name, fresh, fit) if net.tasks else first_state(net, name, fresh, fit, config.backbone)
    )
    selected = _selected(folder)
    record = TaskRecord(
        kind=task.kind,
        channels=task.channels,
        method=label,
        settings=task.settings(),
        recipe={**asdict(recipe), "view": asdict(config.view)},
        metrics={"step": selected["step"], "scores": selected["scores"]},
        provenance=provenance(
            resolved.device,
            devices=resolved.devices,
            seed=config.seed,
            **{fact: selected[fact] for fact in _FACTS if fact in selected},  # version 0.1 wrote no precision
        ),
    )
    return net.with_state(state, grown(net.records, name, record))


def first_state(net: MultiTaskNet, name: str, fresh: Fresh, fit: Fit, backbone: str) -> NetState:
    """Return the state after the first task, whose backbone is `fresh`, `given` or `frozen`: see `Learning`."""
    if backbone == "frozen":
        return learn_first_head(name, net.state.shared, fresh, fit)
    return learn_first(name, fresh if backbone == "fresh" else replace(fresh, shared=net.state.shared), fit)


def _selected(folder: Path) -> dict[str, Any]:
    """Return the last training's selected step, validation metrics and seconds, as `make_fit` leaves them."""
    last = max(folder.glob("fit-*/selected.json"), key=lambda path: int(path.parent.name.removeprefix("fit-")))
    selected: dict[str, Any] = json.loads(last.read_text(encoding="utf-8"))
    return selected


def _method(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    if method not in METHODS:
        raise ValueError(f"Expected `method` to be one of {', '.join(METHODS)}, but got {method!r}.")
    return METHODS[method]
