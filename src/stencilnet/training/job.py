"""What to train, as plain data, and which of it must be equal when a training is resumed."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stencilnet.masks import Trainable
from stencilnet.methods import Penalty
from stencilnet.tasks.task import Recipe, Task
from stencilnet.training.sampling import TrainingData, ValidationData
from stencilnet.training.settings import Resolved


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One method's training of one task.

    Attributes:
        name: Method and task (``piggyback/gogh``), for messages.
        folder: The n-th training of the job keeps its files in the subfolder ``fit-<n>``, n from 0.
        task: The task to learn.
        recipe: Steps, batch, learning rate.
        mask_lr: Learning rate of real masks.
        seed: Seed of the order of examples, the critic, and random draws in a step (dropout). Not negative.
        train: Training examples by (epoch, index).
        validation: Validation examples, which select the step; never the test examples.
    """

    name: str
    folder: Path
    task: Task
    recipe: Recipe
    mask_lr: float
    seed: int
    train: TrainingData
    validation: ValidationData

    def __post_init__(self) -> None:
        problems = [
            *([] if self.seed >= 0 else [f"`seed` to be at least 0, but got {self.seed}"]),
            *([] if self.mask_lr > 0 else [f"`mask_lr` to be positive, but got {self.mask_lr}"]),
            *([] if len(self.train) else ["training examples, but there are none. Check the data's `train`"]),
            *([] if len(self.validation) else ["validation examples, but there are none. Check the data's split"]),
        ]
        if problems:
            raise ValueError(f"{self.name}: expected " + "; ".join(problems) + ".")


def scaled(job: Job, share: float, lr_scale: float) -> Job:
    """Return a job with a share of its recipe's steps (at least one) and all its learning rates times a factor.

    Raises:
        ValueError: If `share` or `lr_scale` is not positive.
    """
    if not (share > 0 and lr_scale > 0):
        raise ValueError(f"{job.name}: expected `share` and `lr_scale` to be positive, but got {share} and {lr_scale}.")
    recipe = dataclasses.replace(job.recipe, steps=max(1, round(share * job.recipe.steps)), lr=lr_scale * job.recipe.lr)
    return dataclasses.replace(job, recipe=recipe, mask_lr=lr_scale * job.mask_lr)


def fingerprint(job: Job, resolved: Resolved, start: Trainable, penalty: Penalty | None = None) -> dict[str, Any]:
    """Return all that decides a training's result as a flat dict; error messages show its keys.

    Args:
        job: The job.
        resolved: Its settings, of which only those that change the result are included.
        start: The trainable before training.
        penalty: The method's term of the loss; None (the default) for none.
    """
    return {
        "job": job.name,
        "seed": job.seed,
        "mask_lr": job.mask_lr,
        **{f"recipe.{name}": value for name, value in dataclasses.asdict(job.recipe).items()},
        "task.kind": job.task.kind,
        **{f"task.{name}": value for name, value in _plain_fields(job.task).items()},
        "training examples": len(job.train),
        "validation examples": len(job.validation),
        "precision": resolved.precision,
        "evaluate_every": resolved.settings.evaluate_every,
        "starting tensors (SHA-256)": _hash(start),
        **start.settings,
        **({} if penalty is None else _marks(penalty)),
    }


def _marks(penalty: Penalty) -> dict[str, Any]:
    return {
        "penalty": penalty.name,
        **{f"penalty.{name}": value for name, value in penalty.settings().items()},
        "penalty tensors (SHA-256)": _hash(penalty),
    }


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        stored = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {stored.dtype} {tuple(stored.shape)}".encode())
        digest.update(stored.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _plain_fields(task: object) -> dict[str, Any]:
    if not dataclasses.is_dataclass(task):
        raise TypeError(
            f"Expected the task {type(task).__name__} to be a frozen dataclass. Decorate it with "
            "`@dataclass(frozen=True)`."
        )
    values = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    return {name: value for name, value in values.items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    # A task may hold values that a checkpoint cannot compare, such as a perceptual network.
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)
