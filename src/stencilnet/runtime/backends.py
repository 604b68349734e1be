"""What runs a bundle's networks. A backend's library is imported only when a bundle is opened with it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stencilnet.bundle import TaskRecord, read_config
from stencilnet.bundle.architecture import KNOWN, graph_file
from stencilnet.bundle.format import GRAPH
from stencilnet.delta.spec import Array
from stencilnet.errors import explained
from stencilnet.pictures.images import Floats
from stencilnet.stopping import Stop
from stencilnet.text.shortening import brief
from stencilnet.tiles import Layers

if TYPE_CHECKING:
    from torch import nn

BACKENDS = ("auto", "onnx", "torch")
"""What runs networks. ``onnx`` is ONNX Runtime: it runs the architectures that bundles know, and others whose graph
lies beside the bundle's files (`stencil export --graph`), in float32 on the CPU.
``torch`` is PyTorch: it runs everything, if the extra ``train`` is installed. ``auto`` is ``onnx`` where that is
possible; but ``torch`` for the precision ``auto`` on a CPU that supports bf16, where PyTorch is installed."""

PRECISIONS = ("float32", "bf16", "auto")
"""Precisions of the forward pass. ``float32`` is exact. ``bf16`` is autocast: nearly exact, and slow on many CPUs.
``auto`` is the fastest of nearly exact ones: with PyTorch, compiled if `torch.compile` works, bf16 if the device
supports it; with ONNX Runtime, ``float32``."""


class BackendError(ValueError):
    """A backend cannot run a bundle this way; the message says which one can."""


class Backend(Protocol):
    """Runs the networks of a bundle's tasks, from any number of threads.

    Attributes:
        name: Its name, one of `BACKENDS`.
    """

    name: str

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

    def weights(self, task: str) -> Mapping[str, Array]:
        """Return a task's full weights by key, with the columns that it needs (`stencilnet.delta.columns`).

        Raises:
            BundleError: If the task's files are damaged.
            DeltaError: If its columns do not fit the backbone.
        """
        ...

    def forward(self, image: Floats, task: str, channels: int, stop: Stop) -> Floats:
        """Return a task's raw output for one input.

        Args:
            image: ``(3, H, W)`` float32 in [0, 1], contiguous and writable; it is not changed.
            task: Name of a task.
            channels: Output channels of the task's head.
            stop: A request to end early, which the backend follows as soon as it can: ONNX Runtime between two nodes of
                the graph, PyTorch before the network runs.

        Returns:
            ``(C, H, W)``, or ``(K,)`` of a classifier; float32.

        Raises:
            BundleError: If the task's files are damaged.
            MemoryError: If the picture does not fit in memory. The backend stays usable.
            StoppedError: If `stop` was asked for. The backend stays usable.
            TooLargeError: If the task's network does not.
        """
        ...


def open_backend(
    path: Path, device: str, precision: str, *, backend: str, backbone: "nn.Module | None", active: int
) -> Backend:
    """Open a bundle; the arguments are those of `stencilnet.runtime.Engine`.

    Raises:
        BundleError: If the bundle cannot be opened.
        MemoryError: If the backbone does not fit in the device's memory.
        NotInstalledError: If the backend is not installed.
        BackendError: If `backend` cannot run the bundle this way.
        ValueError: If this machine has no such device.
    """
    reason = " with `backend='torch'`" if backend == "torch" else _beyond_onnx(path, device, precision, backbone)
    if backend == "onnx" and reason:
        raise BackendError(
            "Expected tasks that ONNX Runtime can run with `backend='onnx'`: of a U-Net, a VGG16 or a network whose "
            f"graph lies in the bundle ({GRAPH}), on the CPU, in float32. But got tasks{reason}. Use `backend='torch'`."
        )
    if reason or (backend == precision == "auto" and read_config(path).architecture in KNOWN and _has_fast_bf16()):
        try:
            from stencilnet.inference.backend import TorchBackend
        except ModuleNotFoundError as error:
            raise explained(error, f"Running tasks{reason}") from None
        return TorchBackend(path, device, precision, backbone=backbone, active=active)
    from stencilnet.runtime.onnx import OnnxBackend

    return OnnxBackend(path, active=active)


def _beyond_onnx(path: Path, device: str, precision: str, backbone: "nn.Module | None") -> str:
    """Return why ONNX Runtime cannot run a bundle's tasks, as a phrase after "tasks"; empty if it can."""
    if backbone is not None:
        return " of a `backbone` that is passed as a module"
    if device != "cpu":
        return f" on the device {device!r}"
    if precision == "bf16":
        return " in the precision 'bf16'"
    if not all(map(find_spec, ("onnx", "onnxruntime"))):
        return " without the packages onnx and onnxruntime"
    config = read_config(path)
    runs = config.architecture in KNOWN or graph_file(path, config) is not None
    return "" if runs else f" of the architecture {brief(config.architecture)}"


def _has_fast_bf16() -> bool:
    """Return whether PyTorch is installed and finds that the CPU supports bf16."""
    if find_spec("torch") is None:
        return False
    from stencilnet.models.acceleration import has_fast_bf16

    return has_fast_bf16("cpu")
