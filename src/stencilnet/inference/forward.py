"""Runs a module in a given precision, compiled or not."""

import logging
import threading
from collections.abc import Callable
from types import FunctionType

import torch
from torch import Tensor, nn

from stencilnet.models import UNet
from stencilnet.models.acceleration import can_compile, has_fast_bf16
from stencilnet.models.checking import checked_output
from stencilnet.models.columns import Columns
from stencilnet.models.padding import crop, pad

logger = logging.getLogger(__name__)


class Forward:
    """Runs modules of one backbone in one precision. Safe to share between threads.

    Args:
        device: The modules' device.
        precision: One of `stencilnet.runtime.PRECISIONS`.
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        auto = precision == "auto"
        self._device = device
        self._bf16 = has_fast_bf16(device.type) if auto else precision == "bf16"
        self._compiles = auto and can_compile(device.type)
        self._compiled: dict[int, Callable[[nn.Module, Tensor], Tensor]] = {}
        self._lock = threading.Lock()

    @property
    def precision(self) -> str:
        """The precision in use: ``float32`` or ``bf16``, followed by ``compiled`` if compiled."""
        return ("bf16" if self._bf16 else "float32") + (" compiled" if self._compiles else "")

    def __call__(self, module: nn.Module, images: Tensor, channels: int) -> Tensor:
        """Return raw outputs ``(N, C, ...)`` as float32, on the device.

        Args:
            module: A task's plain module.
            images: ``(N, 3, H, W)`` float32 in [0, 1], on any device.
            channels: Output channels of the module's head.
        """
        several = isinstance(module, Columns)  # each number of columns would need another graph
        run = self._graph(channels) if self._compiles and not several else _run
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return run(module, images.to(self._device)).float()

    def _graph(self, channels: int) -> Callable[[nn.Module, Tensor], Tensor]:
        with self._lock:
            if channels not in self._compiled:
                logger.info("Compiling the network for %d output channels: the first pictures take longer.", channels)
                self._compiled[channels] = _compile(channels)
            return self._compiled[channels]


def _run(module: nn.Module, images: Tensor) -> Tensor:
    return checked_output(module, module(images))


def _compile(channels: int) -> Callable[[nn.Module, Tensor], Tensor]:
    """Return `_run` compiled into graphs that take weights and sides as inputs, so that they serve all tasks and sizes.

    torch.compile keeps at most 8 graphs per code object and runs the rest uncompiled. A head of another shape needs
    another graph, so each shape gets its own code object. Small pictures need further graphs, since PyTorch uses
    other convolutions below certain sizes.
    """
    name = f"{_run.__name__}_{channels}"
    graph = torch.compile(FunctionType(_run.__code__.replace(co_name=name), globals(), name), dynamic=True)

    def run(module: nn.Module, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        padded = pad(images) if isinstance(module, UNet) else images  # outside, since each way to pad is a graph
        padded = padded.clone()  # guards also check whether the input is a view or an inference tensor
        torch._dynamo.maybe_mark_dynamic(padded, (2, 3))  # two sizes, even if the first picture is square
        output: Tensor = graph(module, padded)
        return crop(output, height, width) if isinstance(module, UNet) else output

    return run
