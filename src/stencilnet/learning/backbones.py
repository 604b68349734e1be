"""Builds a config's backbone with its initial weights."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from stencilnet.bundle.architecture import VGG_MEAN, VGG_STD
from stencilnet.config.schema import Backbone
from stencilnet.models import VGG16, MultiTaskNet, UNet, fresh_weights
from stencilnet.models.vgg16 import HEAD
from stencilnet.perceptual.vgg import vgg_convolutions, vgg_trunk


def make_backbone(settings: Backbone, seed: int = 0) -> MultiTaskNet:
    """Build a network without tasks over a config's backbone, with its initial weights.

    Args:
        settings: The config's `backbone` section.
        seed: Seed of random weights.

    Raises:
        PerceptualError: If the pretrained weights cannot be loaded.
        ValueError: If they are not finite.
    """
    weights = _given(settings)
    backbone, head = _empty(settings)
    if any(name not in weights for name, _ in backbone.named_parameters() if not name.startswith(f"{head}.")):
        weights = fresh_weights(backbone, head, seed) | weights
    backbone.load_state_dict(weights, strict=False)
    return MultiTaskNet(backbone, head=head, decoder=None if settings.kind == "unet" else ())


def start_of(settings: Backbone) -> Literal["fresh", "given", "frozen"]:
    """Return what the first task does with the initial weights: see `backbone` of `stencilnet.Learning`."""
    if settings.frozen:
        return "frozen"
    return "fresh" if settings.init == "random" else "given"


def backbone_problems(settings: Backbone) -> list[str]:
    """Load a backbone's weights, downloading them if configured; return what fails, each as ``path: problem``."""
    try:
        _given(settings)
    except (ValueError, OSError) as error:
        return [f"backbone.weights: {error}"]
    return []


def _empty(settings: Backbone) -> tuple[nn.Module, str]:
    """Return a network with uninitialised weights, and the prefix of its head; the head, unused by tasks, is zero."""
    with torch.device("meta"):  # draws nothing from the global generator
        backbone = (
            VGG16(channels=1) if settings.width is None else UNet(width=settings.width, channels=1, norm=settings.norm)
        )
    head = HEAD if settings.width is None else "head"
    backbone = backbone.to_empty(device="cpu").requires_grad_(False)
    for parameter in backbone.get_submodule(head).parameters():
        parameter.zero_()
    return backbone, head


def _given(settings: Backbone) -> dict[str, Tensor]:
    if settings.weights is None:
        return {}
    if settings.init == "imagenet":
        given = vgg_trunk("VGG16", settings.weights)
    else:
        given = encoder_weights(vgg_convolutions("VGG13", settings.weights))
    broken = sorted(name for name, tensor in given.items() if not tensor.isfinite().all())
    if broken:
        raise ValueError(f"Expected finite weights, but got NaN or infinity in {', '.join(broken[:3])}.")
    return given


def encoder_weights(convolutions: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Convert VGG13's convolutions to weights of the U-Net's encoder, which have the same shapes, by state-dict key.

    VGG expects RGB normalised by ImageNet's mean and standard deviation, this network plain RGB in [0, 1]. Both are
    folded into the first convolution: ``W ((x - m) / s) + b = (W / s) x + (b - sum W m / s)``. The two differ at the
    picture's border: zero padding stands for the mean in VGG and for black here.

    Args:
        convolutions: Weight and bias of each convolution, by name ``{block}_{index}``.
    """
    weights: dict[str, Tensor] = {}
    for name, (weight, bias) in convolutions.items():
        if name == "1_1":
            scaled = weight.double() / torch.tensor(VGG_STD, dtype=torch.float64).view(1, 3, 1, 1)
            mean = torch.tensor(VGG_MEAN, dtype=torch.float64).view(1, 3, 1, 1)
            weight, bias = scaled.float(), (bias.double() - (scaled * mean).sum(dim=(1, 2, 3))).float()
        weights |= {f"conv{name}.weight": weight.float(), f"conv{name}.bias": bias.float()}
    return weights


def in_words(backbone: Backbone) -> str:
    """Describe a backbone, for the plan of a run."""
    network = "VGG16" if backbone.kind == "vgg16" else f"U-Net of width {backbone.width}"
    start = "" if backbone.init == "random" else f" from {backbone.init}"
    norm = {"instance": "", "affine": ", affine norm", "own": ", norms per task"}[backbone.norm]
    return network + norm + start + (", frozen" if backbone.frozen else "")
