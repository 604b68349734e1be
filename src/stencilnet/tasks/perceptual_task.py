"""The interface of tasks whose losses use a perceptual network."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from stencilnet.perceptual.network import PerceptualNetwork
from stencilnet.tasks.task import Task


@runtime_checkable
class PerceptualTask(Task, Protocol):
    """A task whose losses compare its output with a style image, through a perceptual network.

    It must be bound to both before it is trained or measured; running a trained task needs neither. It cannot be the
    first task, because the network may be derived from the backbone that the first task trains. Check with
    ``isinstance``.
    """

    @property
    def style(self) -> str:
        """The style image: ``painted:`` and the name of a painted style, or a path under the data root."""
        ...

    @property
    def style_size(self) -> int:
        """Shorter side to which the style image is resized, in pixels."""
        ...

    @property
    def preset(self) -> str:
        """The network and its conventions: a key of `stencilnet.perceptual.criterion.PRESETS`."""
        ...

    @property
    def bound_to(self) -> str | None:
        """Name of the network that the task is bound to; None if it is not bound."""
        ...

    def bind(self, perceptual: PerceptualNetwork, style_image: Tensor) -> "PerceptualTask":
        """Return a copy of this task that is bound to a network and a style image.

        Args:
            perceptual: The perceptual network.
            style_image: RGB ``(3, H, W)`` in [0, 1].

        Raises:
            PerceptualError: If the network does not match the preset, or the style image is invalid.
        """
        ...
