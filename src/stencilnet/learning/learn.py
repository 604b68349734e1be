"""Learns one task into a network; called by `train`, `add`, `compare`, `demo` and the Python API."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from stencilnet.bundle import TaskRecord
from stencilnet.data.samples import EvaluationSamples, TrainingSamples
from stencilnet.data.transforms import View
from stencilnet.delta import Stored, grown
from stencilnet.delta.rounding import check_stored, seed_number
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.kinds.catalog import traits_of
from stencilnet.learning.counting import check_splits
from stencilnet.learning.opening import Splits
from stencilnet.learning.provenance import provenance
from stencilnet.masks import NetState
from stencilnet.methods import (
    AnyMethod,
    Fit,
    Fresh,
    JointMethod,
    Method,
    Probe,
    QuantizedDelta,
    learn_first,
    learn_first_head,
    registered,
)
from stencilnet.models import VGG16, MultiTaskNet, UNet
from stencilnet.models.checking import check_forward
from stencilnet.tasks.task import Recipe, Task
from stencilnet.text.strict_json import with_numbers
from stencilnet.training.distributed import ALONE, Group
from stencilnet.training.fit import Job, make_fit
from stencilnet.training.probing import make_probe
from stencilnet.training.settings import Settings, resolve
from stencilnet.training.sinks import Sink

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Learning:
    """How to learn one task.

    Attributes:
        view: Crop, scale and flip.
        recipe: Steps, batch, learning rate. Default: the task kind's recipe.
        trainer: Device, precision, intervals of evaluations and checkpoints.
        seed: Seed of the head, the data order and the crops; combined with the task's name.
        folder: Folder of checkpoints and curves, from which `resume` continues. Default: a temporary folder.
        sinks: Further receivers of curves and progress, beside the folder's files.
        resume: Resume from the folder's checkpoint, if one exists.
        stop: Called before each step; return True to stop. The training can be resumed.
        group: The processes that train together, one per device; this one leads.
        label: The method's name in logs. Default: its kind.
        backbone: How the first task treats the backbone of a network without tasks. ``fresh``: it trains new weights
            drawn by the seed; the network's own are not used. ``given``: it starts from the network's weights and
            trains them. ``frozen``: these stay bit-equal and only the head is learned; running statistics that
            training moves are stored with the task. Later tasks always use the backbone as it is. Scratch and the
            decoder baseline always start from new weights (the paper, Sec. 4.1).
        stored: Format in which a bundle stores the backbone: ``float32``, ``float16`` or ``int8``. The weights are
            rounded to it once, after the first task, so that later tasks are learned over exactly the stored weights.
            ``seed:N``: the weights are random, generated from the number N, and take next to no bytes in a bundle; the
            first task is learned as a quantised delta over them, with default settings.
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
    label: str = ""
    backbone: Literal["fresh", "given", "frozen"] = "fresh"
    stored: Stored = "float32"

    def __post_init__(self) -> None:
        if self.backbone not in ("fresh", "given", "frozen"):
            raise ValueError(f"Expected `backbone` to be fresh, given or frozen, but got {self.backbone!r}.")
        check_stored(self.stored)
        if self.backbone != "fresh" and seed_number(self.stored) is not None:
            raise ValueError(
                f"Expected `backbone` to be fresh with `stored` {self.stored}, which determines all weights, but got "
                f"{self.backbone!r}."
            )


OVER_A_SEED = QuantizedDelta()
"""What the first task is learned by over shared weights that a number stands for."""

_FACTS = ("seconds", "precision", "compiled")
"""Facts of a finished training that belong to its task's provenance."""


def learn(
    net: MultiTaskNet,
    task: Task,
    data: Splits,
    *,
    name: str | None = None,
    method: str | AnyMethod = "piggyback",
    config: Learning | None = None,
) -> MultiTaskNet:
    """Learn a task and return a network that has it; the network passed in is not changed.

    The first task trains the backbone, whatever the method; every later one is learned by the method. The backbone
    starts from new weights, unless `Learning.backbone` says otherwise. Some methods do more after the first task
    (PackNet prunes, EWC measures the Fisher information): pass the method of the later tasks for the first one, too.

    Args:
        net: The network so far.
        task: The task to learn.
        data: Its examples.
        name: The task's name in the network. Default: its kind.
        method: A method, or the name of one, for its default settings.
        config: How to train. Default: `Learning()`.

    Raises:
        ValueError: If the method is unknown, the name is taken, or the data do not fit the task; also if they hold
            nothing to learn, such as labels of one class alone (`stencilnet.learning.counting.DataError`).
    """
    config = config or Learning()
    name = name or task.kind
    if name in net.tasks:
        raise ValueError(f"Expected a new task name, but {name!r} has been learned already. Pass another `name`.")
    chosen = _method(method)
    for line in check_splits(task, name, data.train, data.validation):
        logger.warning("%s", line)
    with _folder(config) as folder:
        learned = learn_task(net, task, data, name=name, method=chosen, config=replace(config, folder=folder))
        if net.tasks or isinstance(chosen, JointMethod) or chosen.after_first == "nothing":
            return learned
        own = replace(config, folder=folder / chosen.name)
        return adopt(learned, task, data, name=name, method=chosen, config=own)


def task_seed(seed: int, name: str) -> int:
    """Return a task's own seed: the same for every method, so that all start from the same head and data order."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6], "big")


def job_of(task: Task, data: Splits, name: str, method: AnyMethod, config: Learning, seed: int, folder: Path) -> Job:
    """Return the training job of a task, with its seed; nothing is read or written yet."""
    recipe = config.recipe or task.recipe()
    return Job(
        name=name,
        folder=folder,
        task=task,
        recipe=recipe,
        mask_lr=recipe.lr if method.mask_lr is None else method.mask_lr,
        seed=seed,
        train=training_samples(task, data, config, seed),
        validation=evaluation_samples(task, data, config),
    )


def training_samples(task: Task, data: Splits, config: Learning, seed: int) -> TrainingSamples:
    """Return a task's training samples."""
    return TrainingSamples(data.train, config.view, task, seed, disk=_disk(config))


def evaluation_samples(task: Task, data: Splits, config: Learning) -> EvaluationSamples:
    """Return the samples that select a task's training step."""
    return EvaluationSamples(data.validation, config.view, task, whole=False, disk=_disk(config))


def _disk(config: Learning) -> Path | None:
    return None if config.trainer.cache is None else Path(config.trainer.cache)


def fresh_of(
    net: MultiTaskNet,
    task: Task,
    seed: int,
    *,
    logits: Callable[[str], bool] = lambda _: False,
    probe: Probe | None = None,
) -> Fresh:
    """Return the untrained tensors of a task, drawn by its seed, and what else a method receives beside the state.

    Args:
        net: The network so far.
        task: The task.
        seed: The task's seed; see `task_seed`.
        logits: Returns, by a task's name, whether its outputs are logits of classes.
        probe: Gives access to the task's training inputs.
    """
    return Fresh(
        layout=net.layout,
        head=net.fresh_head(task.channels, torch.Generator().manual_seed(seed)),
        shared=net.fresh_weights(seed),
        logits=logits,
        probe=probe,
    )


def learn_task(
    net: MultiTaskNet, task: Task, data: Splits, *, name: str, method: AnyMethod, config: Learning
) -> MultiTaskNet:
    """Learn a task as `learn` does, but without what the method does after the first task: see `adopt`.

    Args:
        net: The network so far.
        task: The task to learn.
        data: Its examples.
        name: The task's name; the network must not have it yet.
        method: The method.
        config: How to train; needs a folder.

    Raises:
        ValueError: If the network has tasks and the method learns all tasks jointly; or as `check_forward`.
        TypeError: If the network returns anything but one tensor.
    """
    if type(net.backbone) not in (UNet, VGG16):  # those are known to be fit
        check_forward(net.backbone, net.head, config.view.crop)
    fresh, fit = _work(net, task, data, name, method, config)
    if not net.tasks:
        state = first_state(net, name, fresh, fit, config.backbone, config.stored)
    elif isinstance(method, JointMethod):
        raise ValueError(
            f"Expected a method that learns {name!r} alone, but {method.title} learns all tasks of a config at once. "
            "Use `stencil compare`, or another method."
        )
    else:
        state = method.learn(net.state, name, fresh, fit)
    return net.with_state(state, grown(net.records, name, _record(task, method if net.tasks else None, config)))


def adopt(net: MultiTaskNet, task: Task, data: Splits, *, name: str, method: Method, config: Learning) -> MultiTaskNet:
    """Do what a method does after the first task; return the network that it learns further tasks from.

    Args:
        net: A network that has the first task alone; it is not changed.
        task: The first task.
        data: Its examples.
        name: Its name in the network.
        method: The method.
        config: How to train; needs a folder other than that of the first task's own training.
    """
    fresh, fit = _work(net, task, data, name, method, config)
    state = method.adopt(net.state, name, fresh, fit)
    records = {name: _record(task, method, config)} if method.after_first == "retrain" else net.records
    return net.with_state(state, records)


def _work(
    net: MultiTaskNet, task: Task, data: Splits, name: str, method: AnyMethod, config: Learning
) -> tuple[Fresh, Fit]:
    """Return the arguments with which a method learns a task."""

    def logits(other: str) -> bool:
        return traits_of(task.kind if other == name else net.records[other].kind).logits

    assert config.folder is not None, "whoever calls gives one"
    resolved, seed = resolve(config.trainer, config.group), task_seed(config.seed, name)
    label = config.label or (method.name if net.tasks else BACKBONE)
    job = job_of(task, data, f"{label}/{name}", method, config, seed, config.folder)
    fit = make_fit(
        net.backbone, job, resolved, config.sinks, resume=config.resume, stop=config.stop, group=config.group
    )
    probe = make_probe(net.backbone, job, resolved.device)
    return fresh_of(net, task, seed, logits=logits, probe=probe), fit


def _record(task: Task, method: AnyMethod | None, config: Learning) -> TaskRecord:
    """Describe a task that was learned by a method, or, if None, by the training of the backbone."""
    assert config.folder is not None, "whoever calls gives one"
    resolved, selected = resolve(config.trainer, config.group), selected_of(config.folder)
    used = OVER_A_SEED if method is None and seed_number(config.stored) is not None else method
    return TaskRecord(
        kind=task.kind,
        channels=task.channels,
        method=BACKBONE if method is None else method.name,
        settings=task.settings(),
        recipe={
            **asdict(config.recipe or task.recipe()),
            "view": asdict(config.view),
            **({} if used is None else {"method": asdict(used)}),
        },
        metrics={"step": selected["step"], "scores": selected["scores"]},
        provenance=provenance(
            resolved.device,
            devices=resolved.devices,
            seed=config.seed,
            **{fact: selected[fact] for fact in _FACTS if fact in selected},  # version 0.1 wrote no precision
        ),
    )


def first_state(
    net: MultiTaskNet, name: str, fresh: Fresh, fit: Fit, backbone: str, stored: Stored = "float32"
) -> NetState:
    """Learn the first task and return the state after it; `backbone` and `stored` are those of `Learning`."""
    if seed_number(stored) is not None:
        return OVER_A_SEED.learn(NetState(fresh.shared).round(stored), name, fresh, fit)
    if backbone == "frozen":
        start = net.state.round(stored)
        return replace(learn_first_head(name, start.shared, fresh, fit), stored=stored)
    given = fresh if backbone == "fresh" else replace(fresh, shared=net.state.shared)
    return learn_first(name, given, fit).round(stored)


def selected_of(folder: Path) -> dict[str, Any]:
    """Return what `make_fit` wrote of a task's trainings: the last one's selected step and scores, and the total time.

    The step counts from the start of the first training.
    """
    paths = sorted(folder.glob("fit-*/selected.json"), key=lambda path: int(path.parent.name.removeprefix("fit-")))
    *earlier, last = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return {
        **last,
        "scores": with_numbers(last["scores"]),
        "step": last["step"] + sum(found["steps"] for found in earlier),
        "seconds": last["seconds"] + sum(found["seconds"] for found in earlier),
    }


@contextmanager
def _folder(config: Learning) -> Iterator[Path]:
    if config.folder is not None:
        yield config.folder
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _method(method: str | AnyMethod) -> AnyMethod:
    if not isinstance(method, str):
        return method
    known = {name: kind for name, kind in registered().items() if issubclass(kind, Method)}
    if method not in known:
        raise ValueError(f"Expected `method` to be one of {', '.join(known)}, but got {method!r}.")
    return known[method]()
