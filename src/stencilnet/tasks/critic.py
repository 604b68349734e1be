"""The conditional patch critic of pix2pix (Isola et al. 2017, Sec. 3.2.2 and 6.1.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FIELDS = {1: 16, 2: 34, 3: 70}
"""Receptive field of one logit in pixels, by the number of layers."""


class PatchCritic(nn.Module):
    """Classifies patches of an output as real or generated, given the input: one logit per patch.

    4x4 convolutions: one of stride 2 with `width` channels; `layers` - 1 of stride 2 and one of stride 1, each of which
    doubles the channels (up to 8 x); one of stride 1 to the logit. Instance normalisation (batch normalisation fails on
    small batches) precedes every leaky ReLU (0.2) but the first. Weights are initialised from N(0, 0.02).

    Args:
        layers: 1, 2 or 3, for patches of 16, 34 or 70 px.
        width: Channels of the first convolution; 64 in the original.

    Raises:
        ValueError: If the arguments are out of range.
    """

    def __init__(self, layers: int = 3, width: int = 64) -> None:
        super().__init__()
        if layers not in FIELDS or width < 1:
            raise ValueError(
                f"Expected `layers` to be 1, 2 or 3 and `width` to be at least 1, but got {layers} and {width}."
            )
        self.least = 3 * 2**layers
        """Smallest image side in pixels, so that the last normalisation still gets more than one value."""
        channels = [width * 2**level for level in range(layers + 1)]
        modules: list[nn.Module] = [_conv(6, width, stride=2), nn.LeakyReLU(0.2)]
        for level in range(1, layers + 1):
            modules += [
                _conv(channels[level - 1], channels[level], stride=2 if level < layers else 1),
                nn.InstanceNorm2d(channels[level]),
                nn.LeakyReLU(0.2),
            ]
        self.net = nn.Sequential(*modules, _conv(channels[-1], 1, stride=1))

    def forward(self, image: Tensor, output: Tensor) -> Tensor:
        """Return logits for `output` being a real translation of `image`.

        Args:
            image: Inputs ``(N, 3, H, W)`` in [0, 1].
            output: Real or generated outputs of the same shape in [0, 1].

        Returns:
            Logits ``(N, 1, H', W')``, positive for real.

        Raises:
            ValueError: If the images are too small for the patches.
        """
        if min(image.shape[-2:]) < self.least:
            raise ValueError(
                f"Expected images of at least {self.least}x{self.least} px, but got "
                f"{image.shape[-1]}x{image.shape[-2]}. Use larger crops, or fewer layers in the critic."
            )
        # The critic works in [-1, 1], as the original does.
        logits: Tensor = self.net(2 * torch.cat([image, output], dim=1) - 1)
        return logits


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the critic's binary cross-entropy, (real as 1 + fake as 0) / 2, on logits of any shape."""
    return (_cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)) / 2


def fooling_loss(fake: Tensor) -> Tensor:
    """Return the generator's binary cross-entropy, fake as 1 (the non-saturating form)."""
    return _cross_entropy(fake, 1.0)


def _cross_entropy(logits: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, truth, dtype=torch.float32))


def _conv(inputs: int, outputs: int, *, stride: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel_size=4, stride=stride, padding=1)
    nn.init.normal_(conv.weight, std=0.02)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
