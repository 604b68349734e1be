"""The interface of tasks whose losses look through a perceptual network."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from stencilnet.perceptual.network import PerceptualNetwork
from stencilnet.tasks.task import Task


@runtime_checkable
class PerceptualTask(Task, Protocol):
    """A task whose losses compare its output with a style image, through a perceptual network.

    It is bound to both before it is trained or measured; a trained task is run without them. It cannot be the first
    task, because the network may be made of the backbone that the first task trains. Ask by ``isinstance``.
    """

    @property
    def style(self) -> str:
        """The style image: ``painted:`` and the name of a painted style, or a path under the data root."""
        ...

    @property
    def style_size(self) -> int:
        """Shorter side that the style image is brought to, in pixels."""
        ...

    @property
    def preset(self) -> str:
        """Which network is looked through, and how: a key of `stencilnet.perceptual.criterion.PRESETS`."""
        ...

    @property
    def bound_to(self) -> str | None:
        """Name of the network that the task is bound to; None for a task that is not bound."""
        ...

    def bind(self, perceptual: PerceptualNetwork, style_image: Tensor) -> "PerceptualTask":
        """Return this task with what its losses need.

        Args:
            perceptual: The network.
            style_image: RGB ``(3, H, W)`` in [0, 1].

        Raises:
            PerceptualError: If the network is not the preset's, or the style image does not fit.
        """
        ...
