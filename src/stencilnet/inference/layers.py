"""The layers of a U-Net one by one, for pictures that run strip by strip; by PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stencilnet.inference.memory import as_memory_error
from stencilnet.memory import available_memory
from stencilnet.models import UNet
from stencilnet.pictures.images import Floats


class TorchLayers:
    """A task's layers, in float32; `stencilnet.tiles.Layers`.

    Args:
        net: The task's plain module.
        device: Its device.
    """

    def __init__(self, net: UNet, device: torch.device) -> None:
        self._net = net
        self._device = device

    @property
    def width(self) -> int:
        """Channels of the first level."""
        return self._net.width

    @property
    def free(self) -> int:
        """Bytes of memory that are free on the device."""
        return torch.cuda.mem_get_info(self._device)[0] if self._device.type == "cuda" else available_memory()

    def apply(self, layer: str, x: Floats) -> Floats:
        """Return a layer's output; see `stencilnet.tiles.Layers.apply`."""
        module = self._net.get_submodule(layer)
        return as_memory_error(lambda: _apply(module, torch.from_numpy(x)[None].to(self._device)))

    def weight(self, key: str) -> Floats | None:
        """Return a norm's scale or shift; None if the network has none."""
        found = self._net.state_dict().get(key)
        return None if found is None else found.cpu().numpy()


@torch.inference_mode()
def _apply(module: nn.Module, x: Tensor) -> Floats:
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)  # all layers of a U-Net but norms
    if isinstance(module, nn.ConvTranspose2d):
        output = F.conv_transpose2d(x, module.weight, module.bias, stride=2)
    else:
        output = F.conv2d(x, module.weight, module.bias, padding=(0, module.kernel_size[1] // 2))
    found: Floats = output[0].cpu().numpy()
    return found
