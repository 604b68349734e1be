"""Builds a config's backbone with the weights that it starts from."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from stencilnet.config.schema import Backbone
from stencilnet.models import VGG16, MultiTaskNet, UNet, fresh_weights
from stencilnet.models.vgg16 import HEAD, MEAN, STD
from stencilnet.perceptual.vgg import vgg_convolutions, vgg_trunk


def make_backbone(settings: Backbone, seed: int = 0) -> MultiTaskNet:
    """Build an empty network over a config's backbone, with the weights it starts from.

    Args:
        settings: The config's section.
        seed: Of weights that are drawn.

    Raises:
        PerceptualError: If weights are asked for and cannot be had.
        ValueError: If they are not finite.
    """
    weights = _given(settings)
    backbone, head = _empty(settings)
    if any(name not in weights for name, _ in backbone.named_parameters() if not name.startswith(f"{head}.")):
        weights = fresh_weights(backbone, head, seed) | weights
    backbone.load_state_dict(weights, strict=False)
    return MultiTaskNet(backbone, head=head, decoder=None if settings.kind == "unet" else ())


def start_of(settings: Backbone) -> Literal["fresh", "given", "frozen"]:
    """Return how the first task finds its backbone: see `stencilnet.Learning`."""
    if settings.frozen:
        return "frozen"
    return "fresh" if settings.init == "random" else "given"


def backbone_problems(settings: Backbone) -> list[str]:
    """Return why a backbone cannot be had, by config path; loads its weights, and fetches them if it says so."""
    try:
        _given(settings)
    except (ValueError, OSError) as error:
        return [f"backbone.weights: {error}"]
    return []


def _empty(settings: Backbone) -> tuple[nn.Module, str]:
    """Return a network whose weights are still to be set, but for its head of zeros, which no task uses."""
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
        raise ValueError(f"Expected {', '.join(broken[:3])} of the weights to be finite, but got NaN or infinity.")
    return given


def encoder_weights(convolutions: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Turn VGG13's convolutions into weights of the U-Net's encoder, which has their shapes, by state-dict key.

    VGG sees RGB less ImageNet's mean, over its deviation; this network sees plain RGB in [0, 1], so both are folded
    into the first convolution: ``W ((x - m) / s) + b = (W / s) x + (b - sum W m / s)``. At the picture's border the two
    differ, for zero padding is the mean to one and black to the other.

    Args:
        convolutions: Weight and bias by name ``{block}_{index}``.
    """
    weights: dict[str, Tensor] = {}
    for name, (weight, bias) in convolutions.items():
        if name == "1_1":
            scaled = weight.double() / torch.tensor(STD, dtype=torch.float64).view(1, 3, 1, 1)
            mean = torch.tensor(MEAN, dtype=torch.float64).view(1, 3, 1, 1)
            weight, bias = scaled.float(), (bias.double() - (scaled * mean).sum(dim=(1, 2, 3))).float()
        weights |= {f"conv{name}.weight": weight.float(), f"conv{name}.bias": bias.float()}
    return weights


def in_words(backbone: Backbone) -> str:
    """Return a backbone in words, for the plan of a run."""
    network = "VGG16" if backbone.kind == "vgg16" else f"U-Net of width {backbone.width}"
    start = "" if backbone.init == "random" else f" from {backbone.init}"
    norm = {"instance": "", "affine": ", affine norm", "own": ", norms of a task's own"}[backbone.norm]
    return network + norm + start + (", frozen" if backbone.frozen else "")
