"""Content and style loss: Gram matrices, the two published conventions, and the loss for one style image."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stencilnet.perceptual.network import PerceptualError, PerceptualNetwork, full_precision

LEAST_STYLE = 32
"""Smallest side of a style image in pixels."""

STYLE_AT_START = 1.0
"""Ratio of style to content loss at the start, for stand-ins (see `Criterion`).

In published logs of feed-forward training, the two weighted terms are of similar size early on: style over content is
0.67, 1.69 and 0.58 at step 1,000 for three styles (github.com/canhnht/fast-style-transfer, RESULT.md: VGG19, weights
7.5 and 100). No logs were found for the exact presets here, so the value is of that order, and was chosen by eye.
"""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published convention: network, layers, Gram scale and weights.

    Attributes:
        name: Name in configs.
        network: The torchvision network for which it is made.
        style_layers: Layers whose Gram matrices are compared.
        content_layer: Layer whose features are compared.
        per_channel: Whether the Gram matrix is divided by C*H*W rather than by H*W.
        per_pair: Whether a layer's weight is divided by its squared number of channels.
        content_weight: Factor of the mean squared difference of features.
        style_weight: Factor of the sum over layers of the mean squared difference of Gram matrices.
    """

    name: str
    network: str
    style_layers: tuple[str, ...]
    content_layer: str
    per_channel: bool
    per_pair: bool
    content_weight: float
    style_weight: float

    def gram(self, features: Tensor) -> Tensor:
        """Return Gram matrices ``(N, C, C)`` of features ``(N, C, H, W)``, scaled by the convention."""
        count, channels, height, width = features.shape
        with full_precision(features.device):
            flat = features.float().reshape(count, channels, height * width)
            return flat @ flat.transpose(1, 2) / (height * width * (channels if self.per_channel else 1))


PRESETS = {
    preset.name: preset
    for preset in (
        # Johnson et al. 2016 with the weights of github.com/pytorch/examples, fast_neural_style.
        Preset(
            name="johnson",
            network="VGG16",
            style_layers=("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
            content_layer="relu2_2",
            per_channel=True,
            per_pair=False,
            content_weight=1e5,
            style_weight=1e10,
        ),
        # Gatys et al. 2016 with the weights of github.com/leongatys/PytorchNeuralStyleTransfer: 1e3 / n^2 per layer.
        Preset(
            name="gatys",
            network="VGG19",
            style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
            content_layer="relu4_2",
            per_channel=False,
            per_pair=True,
            content_weight=1.0,
            style_weight=1e3,
        ),
    )
}
"""The published conventions by name. Losses are never comparable across conventions or networks."""


class Criterion(nn.Module):
    """Content and style loss against one style image, whose Gram matrices are computed once.

    With published weights, the preset's own loss weights apply. A stand-in's features have another scale, so its terms
    are normalised at the start of training, where the output is mid-gray (0.5 everywhere, from a head of zeros): there
    the content term is 1, averaged over the photos that the stand-in was made with, and the style term is
    `STYLE_AT_START`, shared equally by the layers. Loss weights other than the preset's scale the terms in proportion.

    Args:
        network: The frozen network; not copied.
        style_image: RGB ``(3, H, W)`` in [0, 1], each side at least 32 px.
        preset: The convention.
        content_weight: Weight of the content loss.
        style_weight: Weight of the style loss.

    Raises:
        PerceptualError: If the style image is invalid or flat gray, or a published network does not match the preset.
    """

    def __init__(
        self,
        network: PerceptualNetwork,
        style_image: Tensor,
        preset: Preset,
        content_weight: float,
        style_weight: float,
    ) -> None:
        super().__init__()
        _check(network, style_image, preset)
        self.network = network
        self.preset = preset
        self.layers = network.description.style_layers
        self.content_layer = network.description.content_layer
        start = network.description.start
        style = style_image.to(network.device)[None]
        self.content_scale = content_weight if start is None else content_weight / preset.content_weight / start
        self.style_scales: dict[str, float] = {}
        with torch.no_grad():
            features = network(style, self.layers)
            gray = network(torch.full_like(style, 0.5), self.layers)
            for layer in self.layers:
                target = preset.gram(features[layer])
                self.register_buffer(f"gram_{layer}", target)
                channels = target.shape[-1]
                if start is None:
                    self.style_scales[layer] = style_weight / (channels**2 if preset.per_pair else 1)
                    continue
                distance = float((preset.gram(gray[layer]) - target).square().mean())
                if not distance > 0:
                    raise PerceptualError(
                        f"Expected the style image to differ from flat gray at {layer}, but it does not. "
                        "Use another style image."
                    )
                share = STYLE_AT_START / len(self.layers) * style_weight / preset.style_weight
                self.style_scales[layer] = share / distance

    def forward(self, image: Tensor, content_image: Tensor) -> dict[str, Tensor]:
        """Return the weighted losses of each image, ``(N,)``: ``content``, and the style loss of each layer.

        Args:
            image: RGB ``(N, 3, H, W)`` in [0, 1].
            content_image: As `image`.
        """
        with torch.no_grad():
            wanted = self.network(content_image, (self.content_layer,))
        features = self.features(image)
        return {"content": self.content_of(features, wanted)} | self._style(features)

    def style(self, image: Tensor) -> Tensor:
        """Return the weighted style loss of each image, ``(N,)``: the sum over layers."""
        return self.style_of(self.network(image, self.layers))

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Return the features by layer of images ``(N, 3, H, W)`` in [0, 1], for the methods below."""
        found: dict[str, Tensor] = self.network(image, (*self.layers, self.content_layer))
        return found

    def content_of(self, features: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
        """Return the weighted content loss, ``(N,)``, of the features of images, given those that are wanted."""
        difference = features[self.content_layer] - wanted[self.content_layer]
        return self.content_scale * difference.square().mean(dim=(1, 2, 3))

    def style_of(self, features: dict[str, Tensor]) -> Tensor:
        """Return the weighted style loss, ``(N,)``, of the features of images: the sum over layers."""
        return torch.stack(list(self._style(features).values())).sum(dim=0)

    def _style(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = {}
        for layer in self.layers:
            difference = self.preset.gram(features[layer]) - self.get_buffer(f"gram_{layer}")
            losses[layer] = self.style_scales[layer] * difference.square().mean(dim=(1, 2))
        return losses


def _check(network: PerceptualNetwork, style_image: Tensor, preset: Preset) -> None:
    if (
        style_image.dim() != 3
        or style_image.shape[0] != 3
        or not style_image.is_floating_point()
        or min(style_image.shape[1:]) < LEAST_STYLE
    ):
        raise PerceptualError(
            f"Expected the style image to be float RGB (3, H, W) in [0, 1], each side at least {LEAST_STYLE} px, "
            f"but got {style_image.dtype} of shape {tuple(style_image.shape)}."
        )
    low, high = float(style_image.min()), float(style_image.max())
    if not (low >= 0 and high <= 1):
        raise PerceptualError(
            f"Expected the style image to lie in [0, 1], but got values from {low:g} to {high:g}. "
            "Divide 8-bit values by 255."
        )
    described = network.description
    if described.start is None and (described.style_layers, described.content_layer) != (
        preset.style_layers,
        preset.content_layer,
    ):
        raise PerceptualError(
            f"Expected the network of the preset `{preset.name}` ({preset.network}: style "
            f"{', '.join(preset.style_layers)}; content {preset.content_layer}), but got {network.name}. "
            "Load it with the same preset."
        )
