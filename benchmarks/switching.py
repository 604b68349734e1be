"""The cost of switching a network's task in place, and of running the switched network."""

from collections.abc import Mapping
from itertools import cycle

import safetensors.torch
import torch
from torch import Tensor, nn

from benchmarks.machine import Measured
from benchmarks.networks import masked_network
from benchmarks.rows import Found, Setting, compared, interleaved, scaled, speedup
from stencilnet.models import MultiTaskNet

CALLS = 5
"""Switches per repetition: a single one is too short to time."""


def switch_by_copy(setting: Setting) -> Found:
    """Time switching a network between two tasks in place against copying its weights once."""
    net, module = _two_tasks(setting)
    given, taken = _weights(module), _weights(module)

    def copy() -> None:
        for name, tensor in given.items():
            taken[name].copy_(tensor)

    times = interleaved({"switch": _switching(net, module), "copy": copy}, setting, calls=CALLS)
    return compared(scaled(times["switch"], 1e3), scaled(times["copy"], 1e3), "ms", _size(given))


def switch_by_torch_file(setting: Setting) -> Found:
    """Time a switch against `torch.load` of a whole network's file (in the page cache) and `load_state_dict`."""
    net, module = _two_tasks(setting)
    file = setting.folder / "whole.pt"
    torch.save(_weights(module), file)

    def load() -> None:
        module.load_state_dict(torch.load(file, map_location=setting.device, weights_only=True))

    times = interleaved({"switch": _switching(net, module), "load": load}, setting, calls=CALLS)
    return speedup(scaled(times["switch"], 1e3), scaled(times["load"], 1e3), "ms", "torch.load, load_state_dict")


def switch_by_safetensors_file(setting: Setting) -> Found:
    """Time a switch against the fastest way to load a whole network: from a memory-mapped safetensors file."""
    net, module = _two_tasks(setting)
    file = setting.folder / "whole.safetensors"
    safetensors.torch.save_file(_weights(module), file)

    def load() -> None:
        module.load_state_dict(safetensors.torch.load_file(file, device=setting.device))

    times = interleaved({"switch": _switching(net, module), "load": load}, setting, calls=CALLS)
    return speedup(scaled(times["switch"], 1e3), scaled(times["load"], 1e3), "ms", "safetensors load_file")


def active_task(setting: Setting) -> Found:
    """Time running a network that was switched to a task against a plain module with that task's weights.

    Raises:
        ValueError: If their outputs are not bit-equal.
    """
    net, module = _two_tasks(setting)
    net.switch(module, "second")
    plain = type(net.backbone)(width=setting.width, channels=3).to(setting.device).eval()
    plain.load_state_dict(_weights(net.materialize("second")))
    image = torch.rand(1, 3, setting.size, setting.size, generator=torch.Generator().manual_seed(0))
    image = image.to(setting.device)
    with torch.inference_mode():
        if not torch.equal(module(image), plain(image)):
            raise ValueError("Expected a switched network's output to be bit-equal to the plain one's, but it differs.")
        times = interleaved({"active": lambda: module(image), "plain": lambda: plain(image)}, setting, calls=CALLS)
    note = f"width {setting.width}, {setting.size} px, outputs bit-equal"
    return compared(scaled(times["active"], 1e3), scaled(times["plain"], 1e3), "ms", note)


def switch_seconds(net: MultiTaskNet, module: nn.Module, setting: Setting) -> Measured:
    """Return the seconds of a switch, alternating between a network's first two tasks."""
    names = cycle(net.tasks[:2])
    return interleaved({"switch": lambda: net.switch(module, next(names))}, setting, calls=CALLS)["switch"]


def _two_tasks(setting: Setting) -> tuple[MultiTaskNet, nn.Module]:
    net = masked_network(setting.width, ("first", "second"))
    net.to(setting.device)
    return net, net.materialize("first")


def _switching(net: MultiTaskNet, module: nn.Module) -> "_Switching":
    return _Switching(net, module)


class _Switching:
    """A function that switches to the next task at every call."""

    def __init__(self, net: MultiTaskNet, module: nn.Module) -> None:
        self._net, self._module, self._names = net, module, cycle(net.tasks)

    def __call__(self) -> None:
        self._net.switch(self._module, next(self._names))


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _size(weights: Mapping[str, Tensor]) -> str:
    return f"{sum(tensor.numel() for tensor in weights.values()) / 1e6:.1f} M weights"
