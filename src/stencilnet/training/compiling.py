"""Whether a training is compiled: only where that wins back the time that compiling takes."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stencilnet.models.acceleration import can_compile
from stencilnet.training.job import Job
from stencilnet.training.networks import graph_of
from stencilnet.training.settings import Resolved

logger = logging.getLogger(__name__)

WORTH = {"cpu": 1e14, "cuda": 1e16}
"""Operations of a training from which compiling it pays, by device: it takes about a minute and spares a tenth of the
time or more, so the training has to last for ten; a CPU does about 2e11 a second in bfloat16, a GPU more than 2e13."""

WORTH_STEPS = 10_000
"""Steps of a training from which compiling it pays on CUDA, however small: one launch for many spares 5 ms a step."""

_PASSES = 3
"""A backward pass is twice a forward pass's work."""


def settled(resolved: Resolved, backbone: nn.Module, job: Job, record: Mapping[str, Any] | None) -> Resolved:
    """Return how a training is carried out: as its checkpoint says where there is one and the settings leave it open.

    On a CPU compiling gains nothing in float32, so `auto` compiles there in bfloat16 alone.

    Args:
        resolved: What the settings come to on this machine.
        backbone: Gives the graph.
        job: What is trained.
        record: The checkpoint that is gone on with; None to start.
    """
    settings = resolved.settings
    if record is not None and settings.precision == "auto":
        resolved = replace(resolved, precision=record["fingerprint"]["precision"])
    if record is not None and settings.compile == "auto":
        wanted = bool(record["environment"].get("compiled", False))
    else:
        wanted = settings.compile == "always" or (settings.compile == "auto" and _pays(resolved, backbone, job))
    over = record is not None and record["finished"]  # how it was carried out stands, and nothing is compiled
    compiled = wanted and (over or can_compile(resolved.device))
    if compiled and not over:
        logger.info("%s: compiling its step, which takes a minute or so.", job.name)
    return replace(resolved, compiled=compiled)


def operations(backbone: nn.Module, job: Job) -> int:
    """Return the arithmetic operations of a whole training, those of the network alone: two for a multiply-add."""
    sample = {name: tensor[None] for name, tensor in job.train[0, 0].items()}
    shape = job.task.prepare(sample)["input"].shape  # of one example, which may be several images
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        graph_of(backbone, "meta").eval()(torch.empty(shape, device="meta"))
    forward: int = counter.get_total_flops()
    return _PASSES * forward * job.recipe.batch * job.recipe.steps


def _pays(resolved: Resolved, backbone: nn.Module, job: Job) -> bool:
    if resolved.device == "cuda" and job.recipe.steps >= WORTH_STEPS:
        return True
    gains = resolved.device == "cuda" or (resolved.device == "cpu" and resolved.precision == "bf16")
    try:
        return gains and operations(backbone, job) >= WORTH[resolved.device]
    except RuntimeError as error:  # what any tensor without values raises where one is asked for
        reason = str(error).strip().partition("\n")[0]
        logger.info("%s is not compiled, since its graph hangs on values: %s", job.name, reason)
        return False
