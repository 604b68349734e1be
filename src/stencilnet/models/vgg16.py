"""VGG16 as a backbone for classification: the network of the original Piggyback (Mallya et al. 2018, Sec. 4)."""

import torch
from torch import Tensor, nn

from stencilnet.bundle.architecture import VGG_MEAN, VGG_STD, check_vgg_sides

HEAD = "classifier.6"
"""Name of the head: the last fully connected layer."""


class VGG16(nn.Module):
    """Torchvision's VGG16 (Simonyan & Zisserman 2015) with torchvision's state-dict keys, on plain RGB in [0, 1].

    ``MultiTaskNet(VGG16(), head="classifier.6", decoder=())``: masks lie over the convolutions and over the first two
    fully connected layers, as in the original Piggyback.

    Args:
        channels: Classes of the head.

    Raises:
        ValueError: If `channels` is not positive.
    """

    def __init__(self, channels: int = 1000) -> None:
        super().__init__()
        from torchvision.models import vgg16  # imported here, since running a U-Net's bundle needs no torchvision

        if channels < 1:
            raise ValueError(f"Expected `channels` to be at least 1, but got {channels}.")
        whole = vgg16(weights=None, num_classes=channels, init_weights=False)
        self.features: nn.Module = whole.features
        self.avgpool: nn.Module = whole.avgpool
        self.classifier: nn.Module = whole.classifier

    def forward(self, x: Tensor) -> Tensor:
        """Run the network.

        Args:
            x: Images ``(N, 3, H, W)`` in [0, 1], with sides of at least 32; the network was designed for 224.

        Returns:
            Logits ``(N, channels)``.

        Raises:
            ValueError: If a side is smaller.
        """
        check_vgg_sides(*x.shape[-2:])
        # Plain numbers: a tensor would be a buffer, which is neither trained nor stored.
        x = torch.stack([(x[:, i] - VGG_MEAN[i]) / VGG_STD[i] for i in range(3)], dim=1)
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


def layer_names(backbone: nn.Module) -> dict[str, str]:
    """Return the masked layers' names in the literature (``conv1_1`` ... ``fc7``), by the keys of their weights.

    Empty for other networks, whose layers keep their own names.
    """
    if not isinstance(backbone, VGG16):
        return {}
    names, position = {}, 0
    for block, depth in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, depth + 1):
            names[f"features.{position}.weight"] = f"conv{block}_{index}"
            position += 2  # the convolution and its ReLU
        position += 1  # the pooling
    return {**names, "classifier.0.weight": "fc6", "classifier.3.weight": "fc7"}
