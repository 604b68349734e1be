"""How a module runs: in which numbers, and whether as a compiled graph."""

import logging
import threading
from collections.abc import Callable
from types import FunctionType

import torch
from torch import Tensor, nn

from stencilnet.models import UNet
from stencilnet.models.acceleration import can_compile, has_fast_bf16
from stencilnet.models.columns import Columns
from stencilnet.models.padding import crop, pad

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bf16", "auto")
"""Number formats of the forward pass. ``float32`` is exact; ``bf16`` is autocast: close, and slow on many CPUs;
``auto`` is the fastest close one: a compiled graph where `torch.compile` works, bf16 where the device computes it."""


class Forward:
    """Runs modules of one backbone in one precision. Safe to share between threads.

    Args:
        device: Where the modules are.
        precision: One of `PRECISIONS`.
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
        """What it came to: ``float32`` or ``bf16``, and ``compiled`` if so."""
        return ("bf16" if self._bf16 else "float32") + (" compiled" if self._compiles else "")

    def __call__(self, module: nn.Module, images: Tensor, channels: int) -> Tensor:
        """Return raw outputs ``(N, C, ...)`` as float32, on the device.

        Args:
            module: A task's plain module.
            images: ``(N, 3, H, W)`` float32 in [0, 1], anywhere.
            channels: Output channels of the module's head.
        """
        several = isinstance(module, Columns)  # another graph for each number of them
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
    output: Tensor = module(images)
    return output


def _compile(channels: int) -> Callable[[nn.Module, Tensor], Tensor]:
    """Return `_run` as graphs that take weights and sides as inputs, so that they serve all tasks and sizes.

    torch.compile keeps at most 8 graphs a code object and runs the rest uncompiled. A head of another shape needs
    another graph, so each gets a code object of its own; small pictures need some more, for below certain sizes
    PyTorch takes other convolutions.
    """
    name = f"{_run.__name__}_{channels}"
    graph = torch.compile(FunctionType(_run.__code__.replace(co_name=name), globals(), name), dynamic=True)

    def run(module: nn.Module, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        padded = pad(images) if isinstance(module, UNet) else images  # outside, for each way to pad is a graph
        padded = padded.clone()  # a graph also asks whether its input is a view, and made in inference mode
        torch._dynamo.maybe_mark_dynamic(padded, (2, 3))  # two sides, not one if the first picture is square
        output: Tensor = graph(module, padded)
        return crop(output, height, width) if isinstance(module, UNet) else output

    return run
