"""A task's loss before training: the unit of the terms that are added to it."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from stencilnet.models.columns import run
from stencilnet.tasks.task import Task
from stencilnet.training.sampling import Order, TrainingData
from stencilnet.training.seeds import CRITIC, derived_seed, forked

_LEAST = 1e-8
"""Lower bound, for a loss that starts at 0."""


def first_loss(
    backbone: nn.Module, weights: Mapping[str, Tensor], task: Task, data: TrainingData, *, batch: int, seed: int
) -> float:
    """Return a task's loss on the first batch of its training, in float32 on the CPU.

    Args:
        backbone: The network that gives the graph.
        weights: All weights of the network before training, by state-dict key, on the CPU.
        task: The task that defines the loss; a critic is newly initialised.
        data: Training examples.
        batch: Number of examples.
        seed: Seed of the training.
    """
    order = Order(seed=derived_seed(seed, 0), size=len(data), batch=batch, steps=1)
    sample = task.prepare(default_collate([data[key] for key in order.keys(0)]))
    with torch.no_grad(), forked("cpu", seed, CRITIC, 0):
        own = {name: tensor.clone() for name, tensor in weights.items()}  # running statistics may move
        output = run(backbone, own, sample["input"])
        terms = task.loss(output, sample, task.critic())
    return max(float(torch.stack(list(terms.values())).sum()), _LEAST)
