"""What a method adds to the loss of the task at hand."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import Tensor, nn

Run = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""The network as it is used once it is trained, in evaluation mode: from full weights by state-dict key and images
``(N, 3, H, W)`` in [0, 1] to raw outputs ``(N, C, ...)``, float32. Differentiable in the weights."""


class Penalty(nn.Module, ABC):
    """A term of the loss that is a method's own, not the task's, in units of the task's loss before training.

    Its tensors are buffers: they go to the device where the training is, and to every process that takes part. With
    what `settings` returns they decide its value, so that a training is resumed with no other penalty. It has no
    parameters, and nothing in it is trained.

    Attributes:
        name: As in the curves, where it is ``loss/<name>``.
    """

    name: ClassVar[str]

    @abstractmethod
    def settings(self) -> dict[str, float | str]:
        """Return what decides the value beside the buffers, by name."""

    @abstractmethod
    def forward(self, weights: Mapping[str, Tensor], images: Tensor, run: Run) -> Tensor:
        """Return the term: a mean over images where it looks at any, so that a batch may be cut into equal parts.

        Args:
            weights: The trainable's effective weights, all of them, with gradient.
            images: The step's prepared inputs ``(N, 3, H, W)`` in [0, 1].
            run: Runs the network by any weights.

        Returns:
            A scalar, at least 0.
        """
