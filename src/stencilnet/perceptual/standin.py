"""Stand-ins for VGG on machines without its weights: the backbone's own encoder, or a fixed random network."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stencilnet.perceptual.check import check_perceptual
from stencilnet.perceptual.network import Description, PerceptualError, PerceptualNetwork, block_of, pool

logger = logging.getLogger(__name__)

_BLOCKS = 4
_NAMES = tuple(f"{block}_{index}" for block in range(1, _BLOCKS + 1) for index in (1, 2))
_LAYERS = tuple(f"relu{name}" for name in _NAMES)
"""All layers are style: fewer leave the palette of thin networks undetermined."""
_CONTENT = "relu2_2"
_OTHERS = ("conv", "up", "head.")
_EPS = 1e-5
"""PyTorch's default in instance normalisation."""

_WIDTHS = (32, 64, 96, 128)
_SEED = 1
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""A square root of the covariance of R, G and B in natural photos (Olah et al. 2017, Feature Visualization)."""
_WHITENING = 0.5
"""0 leaves colours as they are, 1 whitens: hue weighs as much as brightness, and content drowns in it."""

Weights = dict[str, tuple[Tensor, Tensor]]


def encoder_standin(backbone: nn.Module, images: Iterable[Tensor]) -> PerceptualNetwork:
    """Take the frozen U-Net's encoder, with fixed normalisation: a colour it could not see before is seen now.

    Instance normalisation takes each image's own mean and deviation off each filter, and with them brightness,
    contrast and tint. Here they are replaced by averages over the given images, a plain affine that is folded into
    the convolutions. On one image alone the features are the encoder's own.

    Args:
        backbone: A U-Net with this package's state-dict keys (``conv1_1`` ... ``conv4_2``) and no trained norm.
        images: Task 1's training images, RGB ``(3, H, W)`` in [0, 1], sides of at least 16 px.

    Raises:
        PerceptualError: If the backbone is of another layout, or there are no images.
    """
    weights = _encoder(backbone)
    held = _images(images)
    calibrated = _fold(weights, _statistics(weights, held))
    description = Description(
        name="stand-in: the backbone's encoder, fixed normalisation",
        style_layers=_LAYERS,
        content_layer=_CONTENT,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    return _weighed(description, calibrated, held)


def random_standin(images: Iterable[Tensor], seed: int = _SEED) -> PerceptualNetwork:
    """Make a VGG-shaped network of fixed random filters without normalisation.

    Random filters give usable textures (Ustyuzhaninov et al. 2016). Orthogonal in each layer, scaled as He et al.
    2015; average pooling, as Gatys et al. 2016 advise; the input's colours half decorrelated, so that a wrong hue
    costs more than it would among natural, mostly gray, colours.

    Args:
        images: Photos to weigh the content by, RGB ``(3, H, W)`` in [0, 1], sides of at least 8 px.
        seed: Of the filters. One seed gives one network on one version of PyTorch and its LAPACK; save it.

    Raises:
        PerceptualError: If there are no images.
    """
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    channels = 3
    for name in _NAMES:
        outputs = _WIDTHS[block_of(name) - 1]
        flat = nn.init.orthogonal_(torch.empty(outputs, 9 * channels), generator=generator)
        filters = (flat / flat.norm(dim=1).mean() * 2**0.5).view(outputs, channels, 3, 3)
        weights[name] = filters, torch.zeros(outputs)
        channels = outputs
    first, bias = weights["1_1"]
    weights["1_1"] = torch.einsum("ocij,cd->odij", first, _decorrelation()), bias
    description = Description(
        name=f"stand-in: random filters, seed {seed}",
        style_layers=_LAYERS,
        content_layer=_CONTENT,
        pooling="average",
    )
    return _weighed(description, weights, _images(images))


def standin(backbone: nn.Module, images: Iterable[Tensor], styles: Sequence[Tensor]) -> PerceptualNetwork:
    """Choose a stand-in that passes `check_perceptual`: the backbone's encoder, or random filters.

    Passing is not enough for the encoder: one trained on segmentation passes, yet answers to brightness and hue so
    strongly that its content loss holds on to the photo's colours (seen in trained pictures, which kept them; a
    palette cost it two to four times what it cost random filters). So the encoder is taken only if a style's palette
    costs no more through it than through the random filters, on the same images.

    Args:
        backbone: The frozen backbone.
        images: Task 1's training images, RGB ``(3, H, W)`` in [0, 1].
        styles: Style images ``(3, H, W)`` in [0, 1], at least two; every pair of neighbours is told apart.

    Raises:
        PerceptualError: If neither will do, or fewer than two styles are given.
    """
    held = _images(images)
    if len(styles) < 2:
        raise PerceptualError(f"Expected at least two style images to tell apart, but got {len(styles)}.")
    passed: list[tuple[float, PerceptualNetwork]] = []
    problems: list[str] = []
    for build in (partial(encoder_standin, backbone, held), partial(random_standin, held)):
        try:
            network = build()
            cost = _checked_cost(network, held, styles)
        except PerceptualError as error:
            logger.info("No stand-in: %s", error)
            problems.append(str(error))
        else:
            logger.info("A style's palette costs %.2f through %s.", cost, network.name)
            passed.append((cost, network))
    if not passed:
        raise PerceptualError(f"No stand-in will do; use VGG, or other style images. {' '.join(problems)}")
    _, chosen = min(passed, key=lambda pair: pair[0])
    logger.info("Style losses look through %s.", chosen.name)
    return chosen


def _checked_cost(network: PerceptualNetwork, images: Sequence[Tensor], styles: Sequence[Tensor]) -> float:
    """The largest `StyleSense.cost` of a network that passes the check."""
    return max(sense.cost for pair in pairwise(styles) for sense in check_perceptual(network, images, *pair))


def _images(images: Iterable[Tensor]) -> list[Tensor]:
    held = list(images)
    wrong = next((x for x in held if x.dim() != 3 or x.shape[0] != 3 or not x.is_floating_point()), None)
    if wrong is not None or not held:
        got = "none" if wrong is None else f"{wrong.dtype} of shape {tuple(wrong.shape)}"
        raise PerceptualError(f"Expected images to be float RGB (3, H, W) in [0, 1], one at least, but got {got}.")
    return held


def _encoder(backbone: nn.Module) -> Weights:
    state = {name: tensor.detach().float().cpu() for name, tensor in backbone.state_dict().items()}
    missing = [f"conv{n}.{kind}" for n in _NAMES for kind in ("weight", "bias") if f"conv{n}.{kind}" not in state]
    others = [name for name in state if not name.startswith(_OTHERS)]
    if missing or others:
        raise PerceptualError(
            f"Expected this package's U-Net without trained norm, but {type(backbone).__name__} lacks "
            f"{', '.join(missing) or 'nothing'} and has {', '.join(others) or 'nothing'} beside. "
            "Use VGG, or `random_standin`."
        )
    return {name: (state[f"conv{name}.weight"], state[f"conv{name}.bias"]) for name in _NAMES}


@torch.no_grad()
def _statistics(weights: Weights, images: Sequence[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance of each filter that instance normalisation takes off, averaged over the images."""
    sums = {name: (torch.zeros(len(bias)), torch.zeros(len(bias))) for name, (_, bias) in weights.items()}
    for image in images:
        x, block = image.float().cpu()[None], 1
        for name, (weight, bias) in weights.items():
            if block_of(name) > block:
                x, block = pool(x, "max"), block_of(name)
            x = F.conv2d(x, weight, bias, padding=1)
            variance, mean = torch.var_mean(x[0], dim=(1, 2), correction=0)
            sums[name] = sums[name][0] + mean, sums[name][1] + variance
            x = F.relu(F.instance_norm(x))
    return {name: (mean / len(images), variance / len(images)) for name, (mean, variance) in sums.items()}


def _fold(weights: Weights, statistics: dict[str, tuple[Tensor, Tensor]]) -> Weights:
    folded = {}
    for name, (weight, bias) in weights.items():
        mean, variance = statistics[name]
        gain = (variance + _EPS).rsqrt()
        folded[name] = weight * gain.view(-1, 1, 1, 1), (bias - mean) * gain
    return folded


def _decorrelation() -> Tensor:
    """From R, G and B as VGG has them to half-decorrelated colours, ``(3, 3)`` of determinant 1."""
    root = torch.tensor(_COLOURS, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(root @ root.T)
    power = vectors @ torch.diag(values ** (-_WHITENING / 2)) @ vectors.T
    matrix = power @ torch.diag(torch.tensor((0.229, 0.224, 0.225), dtype=torch.float64))
    unit: Tensor = matrix / matrix.det().abs() ** (1 / 3)
    return unit.float()


@torch.no_grad()
def _weighed(description: Description, weights: Weights, images: Sequence[Tensor]) -> PerceptualNetwork:
    """Build a stand-in, and measure how far mid-gray is from the photos' content."""
    network = PerceptualNetwork(description, weights)
    distances = []
    for image in images:
        photo = image.float().cpu()[None]
        gray, seen = (network(x, (_CONTENT,))[_CONTENT] for x in (torch.full_like(photo, 0.5), photo))
        distances.append(float((seen - gray).square().mean()))
    return PerceptualNetwork(replace(description, start=sum(distances) / len(distances)), weights)
