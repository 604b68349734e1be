"""Decides whether a training is compiled: only if that saves more time than compiling takes."""

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
"""Operations from which on compiling a training pays, by device. Compiling takes about a minute and saves a tenth of
the time or more, so the training must last ten minutes; a CPU does about 2e11 operations per second in bfloat16, a GPU
more than 2e13."""

WORTH_STEPS = 10_000
"""Steps from which on compiling pays on CUDA, however small the network: one launch instead of many saves 5 ms per
step."""

_PASSES = 3
"""Cost of a forward and a backward pass in forward passes: a backward pass costs two."""


def settled(resolved: Resolved, backbone: nn.Module, job: Job, record: Mapping[str, Any] | None) -> Resolved:
    """Decide the precision and whether to compile; an existing checkpoint decides what the settings leave open.

    On a CPU compiling gains nothing in float32, so `auto` compiles only in bfloat16 there.

    Args:
        resolved: The settings as resolved on this machine.
        backbone: The network that gives the graph.
        job: What is trained.
        record: The checkpoint to resume; None for a new training.
    """
    settings = resolved.settings
    if record is not None and settings.precision == "auto":
        resolved = replace(resolved, precision=record["fingerprint"]["precision"])
    if record is not None and settings.compile == "auto":
        wanted = bool(record["environment"].get("compiled", False))
    else:
        wanted = settings.compile == "always" or (settings.compile == "auto" and _pays(resolved, backbone, job))
    over = record is not None and record["finished"]  # keep what the checkpoint says; nothing is compiled any more
    compiled = wanted and (over or can_compile(resolved.device))
    if compiled and not over:
        logger.info("%s: compiling the training step, which takes about a minute.", job.name)
    return replace(resolved, compiled=compiled)


def operations(backbone: nn.Module, job: Job) -> int:
    """Return the network's arithmetic operations in a whole training; a multiply-add counts as two."""
    sample = {name: tensor[None] for name, tensor in job.train[0, 0].items()}
    shape = job.task.prepare(sample)["input"].shape  # one example may be several images
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
    except RuntimeError as error:  # raised when a meta tensor's value is read
        reason = str(error).strip().partition("\n")[0]
        logger.info("%s is not compiled, since its graph depends on tensor values: %s", job.name, reason)
        return False
