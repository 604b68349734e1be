"""Penalties: terms that a method adds to the task's loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import Tensor, nn

NetworkFunction = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""The network in evaluation mode: a function of all weights by state-dict key and of images ``(N, 3, H, W)`` in [0, 1]
that returns raw outputs ``(N, C, ...)``, float32. Differentiable in the weights."""


class Penalty(nn.Module, ABC):
    """A term that a method adds to the loss, in units of the task's loss before training.

    Its tensors are buffers, so that they are moved to the training device and sent to every process. Together with
    `settings` they determine its value; a training is only resumed with an equal penalty. It has no parameters.

    Attributes:
        name: Name in the curves, where it appears as ``loss/<name>``.
    """

    name: ClassVar[str]

    @abstractmethod
    def settings(self) -> dict[str, float | str]:
        """Return what determines the value beside the buffers, by name."""

    @abstractmethod
    def forward(self, weights: Mapping[str, Tensor], images: Tensor, run: NetworkFunction) -> Tensor:
        """Return the penalty: if it depends on images, a mean over them, so that a batch can be split into equal parts.

        Args:
            weights: All effective weights of the trainable by state-dict key, with gradient.
            images: The step's prepared inputs ``(N, 3, H, W)`` in [0, 1].
            run: Runs the network with given weights.

        Returns:
            A scalar, at least 0.
        """
