"""Checkpoints: a private format, used only to resume. Plain tensors, numbers, lists and dicts in one file.

The file is always replaced as a whole.

format       1
fingerprint  what must be equal to resume: job, recipe, task, data sizes, precision, hash of the initial tensors
environment  what must be equal for bit-equal results: device, threads, PyTorch, devices, parts of a batch, whether
             compiled
step         steps done
evaluated    last step with an evaluation
seconds      time spent, over all sessions
best         step, score, scores and trained tensors of the selected step; None before the first evaluation
finished     true: the keys below are absent
trained      trained parameters and running statistics, by name within the trainable
optimizer    its state dict
critic       None, or the state dicts ``module`` and ``optimizer``
"""

import logging
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stencilnet.masks import Trainable
from stencilnet.storage import replacing
from stencilnet.text.shortening import brief, shorten
from stencilnet.training.settings import Resolved
from stencilnet.training.step import Learner

logger = logging.getLogger(__name__)

FORMAT = 1

_CHANGES = 10
"""Maximum number of settings that a message names."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be resumed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Selected:
    """The best step so far.

    Attributes:
        step: Number of steps done at that point.
        score: The headline metric on validation data.
        scores: All metrics.
        tensors: The trained tensors, copied to the CPU.
    """

    step: int
    score: float
    scores: dict[str, float]
    tensors: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Progress:
    """How far a training has come.

    Attributes:
        step: Steps done.
        evaluated: Last step with an evaluation.
        best: The selected step; None before the first evaluation.
        seconds: Time spent, over all sessions.
    """

    step: int = 0
    evaluated: int = 0
    best: Selected | None = None
    seconds: float = 0.0


def trained_tensors(trainable: Trainable) -> dict[str, Tensor]:
    """Return the tensors that training changes, by name: trainable parameters and running statistics. Not copies."""
    parameters = {name: tensor.detach() for name, tensor in trainable.named_parameters() if tensor.requires_grad}
    return parameters | dict(trainable.named_buffers())


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU."""
    return {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}


def put_back(trainable: Trainable, tensors: Mapping[str, Tensor]) -> None:
    """Write the tensors of `trained_tensors` into a trainable of the same structure; frozen tensors stay untouched."""
    own = trained_tensors(trainable)
    assert own.keys() == tensors.keys(), "the fingerprint refuses other trainables"
    for name, tensor in own.items():
        tensor.copy_(tensors[name])


def environment(resolved: Resolved) -> dict[str, Any]:
    """Return what a result's bytes depend on besides its config."""
    return {
        "device": resolved.device,
        "threads": resolved.threads,
        "torch": resolved.version,
        "devices": resolved.devices,
        "accumulate": resolved.settings.accumulate,
        "compiled": resolved.compiled,
    }


def save(path: Path, learner: Learner, progress: Progress, fingerprint: Mapping[str, Any]) -> None:
    """Write a checkpoint from which the training can be resumed."""
    critic = learner.critic
    moving = {
        "finished": False,
        "trained": trained_tensors(learner.trainable),
        "optimizer": learner.optimizer.state_dict(),
        "critic": None
        if critic is None
        else {"module": dict(critic.module.state_dict()), "optimizer": critic.optimizer.state_dict()},
    }
    record = _common(learner.resolved, progress, fingerprint) | moving
    _write(path, record)


def save_finished(path: Path, resolved: Resolved, progress: Progress, fingerprint: Mapping[str, Any]) -> None:
    """Write only the selected step: a finished training is not resumed."""
    record = _common(resolved, progress, fingerprint) | {"finished": True}
    _write(path, record)


def _write(path: Path, record: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        try:
            torch.save(record, file)
        except RuntimeError as error:  # PyTorch hides the system's error, such as that of a full disk
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; `check` tells whether it belongs to the same job.

    Raises:
        CheckpointError: If the file is damaged or has another format.
    """
    record = _read(path)
    if record.get("format") != FORMAT:
        raise CheckpointError(
            f"Expected a checkpoint of format {FORMAT} in {path}, but got {brief(record.get('format'))}. "
            "Continue with the version of stencilnet that wrote it, or delete its folder to train from the start."
        )
    return record


def check(path: Path, record: Mapping[str, Any], fingerprint: Mapping[str, Any], resolved: Resolved) -> None:
    """Refuse a checkpoint of another job; warn where bit-equal results cannot be guaranteed.

    Raises:
        CheckpointError: If it belongs to another config; the message says what differs.
    """
    _refuse_other(path, record["fingerprint"], fingerprint)
    earlier = {"devices": 1, "accumulate": 1, "compiled": False} | record[
        "environment"
    ]  # files of version 0.1 lack these three
    for name, value in environment(resolved).items():
        if earlier[name] != value:
            logger.warning(
                "%s was written with %s = %s, this run has %s: the result may differ from that of an uninterrupted "
                "run in its last bits.",
                path,
                name,
                shorten(str(earlier[name])),
                value,
            )


def restore(learner: Learner, record: Mapping[str, Any]) -> None:
    """Put an unfinished checkpoint's tensors back into a fresh learner."""
    put_back(learner.trainable, record["trained"])
    learner.optimizer.load_state_dict(record["optimizer"])
    if learner.critic is not None:
        learner.critic.module.load_state_dict(record["critic"]["module"])
        learner.critic.optimizer.load_state_dict(record["critic"]["optimizer"])


def progress_of(record: Mapping[str, Any]) -> Progress:
    """Return the progress that a checkpoint records."""
    best = None if record["best"] is None else Selected(**record["best"])
    return Progress(step=record["step"], evaluated=record["evaluated"], best=best, seconds=record["seconds"])


def _common(resolved: Resolved, progress: Progress, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    best = progress.best
    return {
        "format": FORMAT,
        "fingerprint": dict(fingerprint),
        "environment": environment(resolved),
        "step": progress.step,
        "evaluated": progress.evaluated,
        "seconds": progress.seconds,
        "best": None if best is None else dict(vars(best)),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # compares checksums, which torch.load does not
                raise zipfile.BadZipFile
        record: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"Expected a checkpoint in {path}, but the file is damaged. Delete its folder to train from the start."
        ) from error
    return record


def _refuse_other(path: Path, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    absent = "absent"
    changed = [
        f"`{shorten(name)}` was {brief(theirs.get(name, absent))}, is {brief(mine.get(name, absent))}"
        for name in sorted(theirs.keys() | mine.keys())
        if theirs.get(name, absent) != mine.get(name, absent)
    ]
    if changed:
        raise CheckpointError(
            f"{path} is a checkpoint of another training: {_some(changed)}. "
            f"Undo this to resume it, or delete {path.parent.parent} to start afresh."
        )


def _some(changes: Sequence[str]) -> str:
    """Join the first changes and the count of the others."""
    more = [f"and {len(changes) - _CHANGES} more"] if len(changes) > _CHANGES else []
    return "; ".join([*changes[:_CHANGES], *more])
