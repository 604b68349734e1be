"""What runs a bundle's networks. A backend's library is imported only when a bundle is opened with it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stencilnet.bundle import TaskRecord
from stencilnet.errors import explained
from stencilnet.pictures.images import Floats
from stencilnet.tiles import Layers

if TYPE_CHECKING:
    from torch import nn

PRECISIONS = ("float32", "bf16", "auto")
"""Precisions of the forward pass. ``float32`` is exact. ``bf16`` is autocast: nearly exact, and slow on many CPUs.
``auto`` is the fastest of nearly exact ones: compiled if `torch.compile` works, bf16 if the device supports it."""


class Backend(Protocol):
    """Runs the networks of a bundle's tasks, from any number of threads."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the bundle's tasks, in the order of learning."""
        ...

    @property
    def records(self) -> Mapping[str, TaskRecord]:
        """Descriptions of the tasks by name."""
        ...

    @property
    def precision(self) -> str:
        """The precision in use: ``float32`` or ``bf16``, followed by ``compiled`` if compiled."""
        ...

    def layers(self, task: str) -> AbstractContextManager[Layers | None]:
        """Lend the layers of a task's network, for pictures that do not fit; None if it is no U-Net of one column.

        No other function of the backend may be called until they are given back.

        Raises:
            BundleError, TooLargeError: As for `forward`.
        """
        ...

    def forward(self, image: Floats, task: str, channels: int) -> Floats:
        """Return a task's raw output for one input.

        Args:
            image: ``(3, H, W)`` float32 in [0, 1], contiguous and writable; it is not changed.
            task: Name of a task.
            channels: Output channels of the task's head.

        Returns:
            ``(C, H, W)``, or ``(K,)`` of a classifier; float32.

        Raises:
            BundleError: If the task's files are damaged.
            MemoryError: If the picture does not fit in memory. The backend stays usable.
            TooLargeError: If the task's network does not.
        """
        ...


def open_backend(path: Path, device: str, precision: str, *, backbone: "nn.Module | None", active: int) -> Backend:
    """Open a bundle with PyTorch; the arguments are those of `stencilnet.runtime.Engine`.

    Raises:
        BundleError: If the bundle cannot be opened.
        MemoryError: If the backbone does not fit in the device's memory.
        NotInstalledError: If PyTorch is not installed.
        ValueError: If this machine has no such device.
    """
    try:
        from stencilnet.inference.backend import TorchBackend
    except ModuleNotFoundError as error:
        raise explained(error, "Running tasks") from None
    return TorchBackend(path, device, precision, backbone=backbone, active=active)
