"""Masked layers like those of the original Piggyback (Mallya et al. 2018), used only for comparison.

Each layer holds its frozen weight and a real mask, and makes a binary mask and a masked weight from them in every
forward pass.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stencilnet.masks import INITIAL, THRESHOLD


class _Threshold(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, real: Tensor) -> Tensor:
        mask = real.clone()
        mask[real.le(THRESHOLD)] = 0
        mask[real.gt(THRESHOLD)] = 1
        return mask

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class MaskedConv(nn.Module):
    """A convolution or transposed convolution with a real mask over its frozen weight.

    Args:
        layer: The plain layer, which is frozen in place.
    """

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.real = nn.Parameter(torch.full_like(layer.weight, INITIAL))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for ``(N, C, H, W)``, computed with the masked weight."""
        mask: Tensor = _Threshold.apply(self.real)
        weight = mask * self.layer.weight
        if isinstance(self.layer, nn.ConvTranspose2d):
            return F.conv_transpose2d(x, weight, self.layer.bias, self.layer.stride)
        return F.conv2d(x, weight, self.layer.bias, self.layer.stride, self.layer.padding)


def with_masked_layers(network: nn.Module, head: str) -> nn.Module:
    """Replace every convolution of a network except its head by a masked one, in place; the head stays trainable."""
    for name, layer in list(network.named_children()):
        if name != head and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            setattr(network, name, MaskedConv(layer))
    return network
