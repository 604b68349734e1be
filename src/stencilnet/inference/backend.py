"""PyTorch as a backend of the engine: a bundle's network on a device, a bounded number of its tasks ready to run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from stencilnet.bundle import TaskRecord
from stencilnet.delta.spec import Array
from stencilnet.inference.folding import folded_slots
from stencilnet.inference.forward import Forward
from stencilnet.inference.layers import TorchLayers
from stencilnet.inference.memory import as_memory_error
from stencilnet.masks import arrays_of
from stencilnet.models import MultiTaskNet, UNet, load
from stencilnet.pictures.images import Floats
from stencilnet.stopping import Stop
from stencilnet.tiles import Layers

DEVICES = ("cpu", "cuda", "mps")
"""Types of devices on which tasks run."""


class TorchBackend:
    """Runs a bundle's networks with PyTorch; a `stencilnet.runtime.backends.Backend`.

    Args:
        path: The bundle's folder.
        device: PyTorch's name of the device.
        precision: One of `stencilnet.runtime.PRECISIONS`.
        backbone: For an architecture that the bundle cannot rebuild, see `stencilnet.models.load`.
        active: Number of tasks kept ready to run, at least 1.

    Raises:
        BundleError: If the bundle cannot be opened.
        MemoryError: If the backbone does not fit in the device's memory.
        ValueError: If this machine has no such device.
    """

    def __init__(self, path: Path, device: str, precision: str, *, backbone: nn.Module | None, active: int) -> None:
        opened = _open_device(device)
        self._net: MultiTaskNet = as_memory_error(lambda: load(path, backbone=backbone).to(opened))
        self._device = opened
        self._forward = Forward(opened, precision)
        self._slots = folded_slots(self._net, active)

    name = "torch"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the bundle's tasks, in the order of learning."""
        return self._net.tasks

    @property
    def records(self) -> Mapping[str, TaskRecord]:
        """Descriptions of the tasks by name."""
        return self._net.records

    @property
    def precision(self) -> str:
        """The precision in use: ``float32`` or ``bf16``, followed by ``compiled`` if compiled."""
        return self._forward.precision

    def weights(self, task: str) -> Mapping[str, Array]:
        """Return a task's full weights by key; see `stencilnet.runtime.backends.Backend.weights`."""
        return arrays_of(self._net.state.weights(task))

    def forward(self, image: Floats, task: str, channels: int, stop: Stop) -> Floats:
        """Return a task's raw output for one input; see `stencilnet.runtime.backends.Backend.forward`."""
        stop.check()
        return as_memory_error(lambda: self._output(torch.from_numpy(image)[None], task, channels))

    @contextmanager
    def layers(self, task: str) -> Iterator[Layers | None]:
        """Lend the layers of a task's network; see `stencilnet.runtime.backends.Backend.layers`."""
        with self._slots.lend(task) as module:
            yield TorchLayers(module, self._device) if isinstance(module, UNet) else None

    def _output(self, images: torch.Tensor, task: str, channels: int) -> Floats:
        with self._slots.lend(task) as module:
            output: Floats = self._forward(module, images, channels)[0].cpu().numpy()
            return output


def _open_device(name: str) -> torch.device:
    remedy = "Use 'cpu', which every machine has."
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"Expected `device` to be a device of PyTorch, but got {name!r}: {error}. {remedy}") from error
    if device.type not in DEVICES:
        raise ValueError(f"Expected `device` to be one of {', '.join(DEVICES)}, but got {name!r}. {remedy}")
    try:
        torch.ones(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # builds without CUDA raise AssertionError
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"Expected `device` to be one that PyTorch can use here, but got {name!r}: {reason}. {remedy}"
        ) from error
    return device
