"""Stand-ins for VGG on machines without its weights: the backbone's encoder, or a fixed random network."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
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
"""All layers are style layers: in narrow networks, fewer layers would leave the palette undetermined."""
_CONTENT = "relu2_2"
_OTHERS = ("conv", "up", "head.")
_EPS = 1e-5
"""PyTorch's default for instance normalisation."""

_WIDTHS = (32, 64, 96, 128)
_SEED = 1
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""A square root of the covariance of R, G and B in natural photos (Olah et al. 2017, Feature Visualization)."""
_WHITENING = 0.5
"""0 leaves colours unchanged; 1 whitens them, so that hue weighs as much as brightness and dominates the content."""

Filters = dict[str, tuple[Tensor, Tensor]]


def encoder_standin(backbone: nn.Module, images: Iterable[Tensor]) -> PerceptualNetwork:
    """Return the frozen U-Net's encoder with fixed normalisation, so that its features depend on colour.

    Instance normalisation removes each image's own mean and deviation from each filter, and with them brightness,
    contrast and tint. Here averages over the given images replace them; this affine map is folded into the
    convolutions. For a single image the features equal the encoder's.

    Args:
        backbone: A U-Net with this package's state-dict keys (``conv1_1`` ... ``conv4_2``) and no trained norm.
        images: Task 1's training images, RGB ``(3, H, W)`` in [0, 1], each side at least 16 px.

    Raises:
        PerceptualError: If the backbone has another layout, or there are no images.
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
    """Return a VGG-shaped network of fixed random filters without normalisation.

    Random filters give usable textures (Ustyuzhaninov et al. 2016). They are orthogonal in each layer and scaled as in
    He et al. 2015. Pooling is by average, as Gatys et al. 2016 recommend. The input's colours are half decorrelated:
    natural colours are mostly gray, and a wrong hue would cost too little otherwise.

    Args:
        images: Photos that normalise the content loss, RGB ``(3, H, W)`` in [0, 1], each side at least 8 px.
        seed: Seed of the filters. It determines the network for one version of PyTorch and its LAPACK only, so save
            the network.

    Raises:
        PerceptualError: If there are no images.
    """
    generator = torch.Generator().manual_seed(seed)
    weights: Filters = {}
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


def standin(
    backbone: nn.Module, images: Iterable[Tensor], styles: Sequence[Tensor], others: Sequence[Tensor] = ()
) -> PerceptualNetwork:
    """Choose a stand-in that passes `check_perceptual`: the backbone's encoder, or random filters.

    Passing is not enough for the encoder: an encoder trained on segmentation passes, but responds to brightness and hue
    so strongly that its content loss preserves the photo's colours (trained pictures kept them; a style's palette cost
    two to four times as much as with random filters). So the encoder is chosen only if a style's palette costs no more
    with it than with the random filters, on the same images.

    Args:
        backbone: The frozen backbone.
        images: Task 1's training images, RGB ``(3, H, W)`` in [0, 1].
        styles: Style images ``(3, H, W)`` in [0, 1]; each consecutive pair is checked.
        others: Images that a single style is compared with, one after the other until a pair passes: a style that is
            learned should not be refused for the other one's sake. Default: none.

    Raises:
        PerceptualError: If neither passes, or there are no two styles to compare.
    """
    held = _images(images)
    if len(styles) + len(others) < 2:
        raise PerceptualError(f"Expected at least two style images to compare, but got {len(styles)}.")
    tries = [styles] if len(styles) > 1 else [[*styles, other] for other in others]
    passed: list[tuple[float, PerceptualNetwork]] = []
    problems: list[str] = []
    for build in (partial(encoder_standin, backbone, held), partial(random_standin, held)):
        try:
            network = build()
            cost = _checked_cost(network, held, tries)
        except PerceptualError as error:
            logger.info("Not usable as a stand-in: %s", error)
            problems.append(str(error))
        else:
            text = "With %s, photos that take a style's palette have a loss of %.2f times that of the unchanged photos."
            logger.info(text, network.name, cost)
            passed.append((cost, network))
    if not passed:
        raise PerceptualError(f"No stand-in passes the check. Use VGG, or other style images. {' '.join(problems)}")
    _, chosen = min(passed, key=lambda pair: pair[0])
    logger.info("Style losses use %s.", chosen.name)
    return chosen


def _checked_cost(network: PerceptualNetwork, images: Sequence[Tensor], tries: Sequence[Sequence[Tensor]]) -> float:
    """Check a network with the first styles that pass, and return their largest `StyleSense.cost`."""
    *earlier, last = tries
    for styles in earlier:
        with suppress(PerceptualError):
            return _cost(network, images, styles)
    return _cost(network, images, last)


def _cost(network: PerceptualNetwork, images: Sequence[Tensor], styles: Sequence[Tensor]) -> float:
    return max(sense.cost for pair in pairwise(styles) for sense in check_perceptual(network, images, *pair))


def _images(images: Iterable[Tensor]) -> list[Tensor]:
    held = list(images)
    wrong = next((x for x in held if x.dim() != 3 or x.shape[0] != 3 or not x.is_floating_point()), None)
    if wrong is not None or not held:
        got = "none" if wrong is None else f"{wrong.dtype} of shape {tuple(wrong.shape)}"
        raise PerceptualError(f"Expected at least one image, float RGB (3, H, W) in [0, 1], but got {got}.")
    return held


def _encoder(backbone: nn.Module) -> Filters:
    state = {name: tensor.detach().float().cpu() for name, tensor in backbone.state_dict().items()}
    missing = [f"conv{n}.{kind}" for n in _NAMES for kind in ("weight", "bias") if f"conv{n}.{kind}" not in state]
    others = [name for name in state if not name.startswith(_OTHERS)]
    if missing or others:
        raise PerceptualError(
            f"Expected this package's U-Net without trained norm, but {type(backbone).__name__} lacks "
            f"{', '.join(missing) or 'nothing'} and has the extra keys {', '.join(others) or '(none)'}. "
            "Use VGG, or `random_standin`."
        )
    return {name: (state[f"conv{name}.weight"], state[f"conv{name}.bias"]) for name in _NAMES}


@torch.no_grad()
def _statistics(weights: Filters, images: Sequence[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each filter's mean and variance, as instance normalisation uses them, averaged over the images."""
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


def _fold(weights: Filters, statistics: dict[str, tuple[Tensor, Tensor]]) -> Filters:
    folded = {}
    for name, (weight, bias) in weights.items():
        mean, variance = statistics[name]
        gain = (variance + _EPS).rsqrt()
        folded[name] = weight * gain.view(-1, 1, 1, 1), (bias - mean) * gain
    return folded


def _decorrelation() -> Tensor:
    """Return the matrix ``(3, 3)``, of determinant 1, from VGG's normalised R, G and B to half-decorrelated colours."""
    root = torch.tensor(_COLOURS, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(root @ root.T)
    power = vectors @ torch.diag(values ** (-_WHITENING / 2)) @ vectors.T
    matrix = power @ torch.diag(torch.tensor((0.229, 0.224, 0.225), dtype=torch.float64))
    unit: Tensor = matrix / matrix.det().abs() ** (1 / 3)
    return unit.float()


@torch.no_grad()
def _weighed(description: Description, weights: Filters, images: Sequence[Tensor]) -> PerceptualNetwork:
    """Build a stand-in whose `start` is the mean content distance of mid-gray from the photos."""
    network = PerceptualNetwork(description, weights)

    @lru_cache(maxsize=2)  # upright and lying photos
    def gray(shape: torch.Size) -> Tensor:
        found: Tensor = network(torch.full(shape, 0.5), (_CONTENT,))[_CONTENT]
        return found

    distances = []
    for image in images:
        photo = image.float().cpu()[None]
        seen = network(photo, (_CONTENT,))[_CONTENT]
        distances.append(float((seen - gray(photo.shape)).square().mean()))
    return PerceptualNetwork(replace(description, start=sum(distances) / len(distances)), weights)
