"""What a step runs, as modules that can be compiled and shared out among devices."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stencilnet.masks import Trainable
from stencilnet.methods import Penalty
from stencilnet.models.columns import run
from stencilnet.tasks.task import Sample, Task


class Network(nn.Module):
    """A backbone's graph with a trainable's weights: what several devices wrap.

    Args:
        backbone: Gives the graph; no part of this module, since its weights are never used.
        trainable: Gives the weights.
    """

    def __init__(self, backbone: nn.Module, trainable: Trainable) -> None:
        super().__init__()
        self.trainable = trainable
        self._graph = (backbone,)

    def forward(self, images: Tensor) -> Tensor:
        """Return raw outputs ``(N, C, H, W)`` of images ``(N, 3, H, W)`` in [0, 1]."""
        return run(self._graph[0], self.trainable.weights(), images)


class Regularizer(nn.Module):
    """A method's penalty on a trainable's weights.

    Not wrapped for several devices: its gradients join the network's before these are averaged.

    Args:
        backbone: Gives the graph, in evaluation mode for good: another object than the network's, which is trained.
        trainable: Gives the weights.
        penalty: Gives the value.
        scale: What the value is in units of: the task's loss before training.
    """

    def __init__(self, backbone: nn.Module, trainable: Trainable, penalty: Penalty, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.trainable = trainable
        self.penalty = penalty
        self._graph = (backbone.eval(),)

    def forward(self, images: Tensor) -> Tensor:
        """Return the penalty times its scale, a scalar, given the step's images ``(N, 3, H, W)`` in [0, 1]."""
        value: Tensor = self.penalty(self.trainable.weights(), images, self._run)
        return self.scale * value

    def _run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        return run(self._graph[0], weights, images).float()


class Judgement(nn.Module):
    """A critic's own loss: one forward pass for each backward pass, however often the task asks the critic.

    Args:
        critic: Is trained.
        task: Gives the loss.
    """

    def __init__(self, critic: nn.Module, task: Task) -> None:
        super().__init__()
        self.critic = critic
        self._task = task

    def forward(self, output: Tensor, sample: Sample) -> Tensor:
        """Return the loss on detached outputs and their prepared batch."""
        return self._task.critic_loss(self.critic, output, sample)


def graph_of(backbone: nn.Module, device: str) -> nn.Module:
    """Return a copy of a network whose weights have shapes but no memory: `functional_call` brings others.

    Args:
        backbone: The network; stays as it is.
        device: Where buffers are copied to that are in no state dict, so that no weights come in their place.
    """
    own = [tensor for tensor in backbone.state_dict(keep_vars=True).values() if isinstance(tensor, Tensor)]
    # What deepcopy finds in its memo it takes instead of copying.
    memo: dict[int, Any] = {id(buffer): buffer.detach().to(device, copy=True) for buffer in backbone.buffers()}
    for tensor in own:
        empty = torch.empty_like(tensor, device="meta", requires_grad=False)
        memo[id(tensor)] = nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(backbone, memo)
