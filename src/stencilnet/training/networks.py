"""What a training step runs, as modules that can be compiled and distributed over devices."""

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
    """A backbone's graph with a trainable's weights: the module that is wrapped for several devices.

    Args:
        backbone: The network that gives the graph; not a submodule, since its own weights are never used.
        trainable: The trainable that gives the weights.
    """

    def __init__(self, backbone: nn.Module, trainable: Trainable) -> None:
        super().__init__()
        self.trainable = trainable
        self._graph = (backbone,)

    def forward(self, images: Tensor) -> Tensor:
        """Return raw outputs ``(N, C, H, W)`` for images ``(N, 3, H, W)`` in [0, 1]."""
        return run(self._graph[0], self.trainable.weights(), images)


class Regularizer(nn.Module):
    """A method's penalty on a trainable's weights.

    It is not wrapped for several devices: its gradients are added to the network's before these are averaged.

    Args:
        backbone: The network that gives the graph, always in evaluation mode: not the object that is trained.
        trainable: The trainable that gives the weights.
        penalty: The method's penalty.
        scale: Factor of the penalty: the task's loss before training.
    """

    def __init__(self, backbone: nn.Module, trainable: Trainable, penalty: Penalty, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.trainable = trainable
        self.penalty = penalty
        self._graph = (backbone.eval(),)

    def forward(self, images: Tensor) -> Tensor:
        """Return the penalty times its scale, a scalar, for the step's images ``(N, 3, H, W)`` in [0, 1]."""
        value: Tensor = self.penalty(self.trainable.weights(), images, self._run)
        return self.scale * value

    def _run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        return run(self._graph[0], weights, images).float()


class Judgement(nn.Module):
    """A critic's own loss: one forward pass per backward pass, however often the task's loss calls the critic.

    Args:
        critic: The critic, which is trained.
        task: The task that defines the loss.
    """

    def __init__(self, critic: nn.Module, task: Task) -> None:
        super().__init__()
        self.critic = critic
        self._task = task

    def forward(self, output: Tensor, sample: Sample) -> Tensor:
        """Return the loss for detached outputs and their prepared batch."""
        return self._task.critic_loss(self.critic, output, sample)


def graph_of(backbone: nn.Module, device: str) -> nn.Module:
    """Return a copy of a network whose weights have shapes but no memory; `functional_call` supplies the weights.

    Args:
        backbone: The network; it is not changed.
        device: Device of the buffers that are in no state dict; they are copied, since nothing else supplies them.
    """
    own = [tensor for tensor in backbone.state_dict(keep_vars=True).values() if isinstance(tensor, Tensor)]
    # deepcopy takes what it finds in its memo instead of copying.
    memo: dict[int, Any] = {id(buffer): buffer.detach().to(device, copy=True) for buffer in backbone.buffers()}
    for tensor in own:
        empty = torch.empty_like(tensor, device="meta", requires_grad=False)
        memo[id(tensor)] = nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(backbone, memo)
