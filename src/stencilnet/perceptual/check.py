"""A test of perceptual networks before use: the style loss must respond to colour and distinguish styles."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stencilnet.perceptual.criterion import PRESETS, Criterion, Preset
from stencilnet.perceptual.network import PerceptualError, PerceptualNetwork

_MARGIN = 0.1
"""Smallest relative change of the style loss that passes."""
_PHOTOS = 8
"""Number of photos used, the first of those given."""


@dataclass(frozen=True, kw_only=True)
class StyleSense:
    """How a perceptual network's style loss responds to one style; each value is a ratio of mean losses.

    Attributes:
        palette: Photos with colours matched to the style's, over the unchanged photos. Should be below 1.
        own: The style's own quarters, over the other style's quarters. Should be below 1.
        tint: Matched photos half blended with the complement of the style's mean colour, over the matched photos.
            Should be above 1.
        cost: Cost of adopting the palette: style plus content loss of the matched photos with the preset's weights,
            over the style loss of the unchanged photos. Far above 1, the content loss prevents the palette. Not part
            of the check.
    """

    palette: float
    own: float
    tint: float
    cost: float

    def problems(self) -> list[str]:
        """Return what fails the check, in words; empty if it passes."""
        return [
            *(
                []
                if self.palette <= 1 - _MARGIN
                else [f"it hardly falls when a photo takes the style's palette (to {self.palette:.2f} of its value)"]
            ),
            *(
                []
                if self.own <= 1 - _MARGIN
                else [f"it does not distinguish the styles (own over other: {self.own:.2f})"]
            ),
            *([] if self.tint >= 1 + _MARGIN else [f"it hardly rises under a tint (to {self.tint:.2f} of its value)"]),
        ]


def check_perceptual(
    network: PerceptualNetwork,
    photos: Sequence[Tensor],
    style_a: Tensor,
    style_b: Tensor,
    preset: Preset = PRESETS["johnson"],
) -> tuple[StyleSense, StyleSense]:
    """Test that a network's style loss responds to the colours and the texture of a style.

    The loss must fall when only the palette of a photo (mean and deviation of R, G and B) is matched to the style's, be
    lower for a style's own quarters than for another style's, and rise under a tint (a blend with one colour, to which
    instance normalisation is blind); each by at least a tenth.

    Args:
        network: The network to test.
        photos: RGB ``(3, H, W)`` in [0, 1]; the first eight are used.
        style_a: A style image ``(3, H, W)`` in [0, 1], each side at least 64 px.
        style_b: Another style image.
        preset: Convention of the Gram matrices; a published network needs its own preset.

    Returns:
        The measured ratios, for each style.

    Raises:
        PerceptualError: If there are no photos, or the network fails; the error names what it failed.
    """
    if not photos:
        raise PerceptualError("Expected photos to test a perceptual network with, but got none.")
    report = _senses(network, photos[:_PHOTOS], (style_a, style_b), preset)
    problems = [
        f"style {which}: {text}" for which, sense in zip("ab", report, strict=True) for text in sense.problems()
    ]
    if problems:
        raise PerceptualError(f"The style loss of `{network.name}` is unusable: {'; '.join(problems)}.")
    return report


@torch.no_grad()
def _senses(
    network: PerceptualNetwork, photos: Sequence[Tensor], styles: tuple[Tensor, Tensor], preset: Preset
) -> tuple[StyleSense, StyleSense]:
    criteria = [Criterion(network, style, preset, preset.content_weight, preset.style_weight) for style in styles]
    found: tuple[list[_Losses], list[_Losses]] = ([], [])
    for photo in photos:
        features = criteria[0].features(photo.float().to(network.device)[None])  # the same for both styles
        own = [float(criterion.style_of(features)) for criterion in criteria]
        wanted = {criteria[0].content_layer: features[criteria[0].content_layer]}
        del features  # there is memory for those of one picture
        for losses, loss, criterion, style in zip(found, own, criteria, styles, strict=True):
            losses.append((loss, *_changed(criterion, photo.float(), wanted, style)))
    one, other = (_sense(*each) for each in zip(criteria, styles, styles[::-1], found, strict=True))
    return one, other


_Losses = tuple[float, float, float, float]
"""Style loss of a photo; style and content loss of it with the style's palette; style loss of that with a tint."""


def _changed(
    criterion: Criterion, photo: Tensor, wanted: dict[str, Tensor], style: Tensor
) -> tuple[float, float, float]:
    """Return `_Losses` but the first."""
    device = criterion.network.device
    matched = match_palette(photo, style)
    features = criterion.features(matched.to(device)[None])
    losses = float(criterion.style_of(features)), float(criterion.content_of(features, wanted))
    del features
    tint = 1 - style.mean(dim=(1, 2), keepdim=True)
    return *losses, float(criterion.style((0.5 * matched + 0.5 * tint).to(device)[None]))


def _sense(criterion: Criterion, style: Tensor, other: Tensor, found: Sequence[_Losses]) -> StyleSense:
    of_photos, of_matched, content, of_tinted = map(_mean, zip(*found, strict=True))
    own, others = (
        _mean([float(criterion.style(x.float().to(criterion.network.device)[None])) for x in _quarters(image)])
        for image in (style, other)
    )
    return StyleSense(
        palette=_quotient(of_matched, of_photos),
        own=_quotient(own, others),
        tint=_quotient(of_tinted, of_matched),
        cost=_quotient(of_matched + content, of_photos),
    )


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)


def match_palette(photo: Tensor, style: Tensor) -> Tensor:
    """Match the mean and deviation of a photo's R, G and B to the style's, clamped to [0, 1]; both ``(3, H, W)``."""
    deviation, mean = torch.std_mean(photo, dim=(1, 2), keepdim=True, correction=0)
    wanted, to = torch.std_mean(style, dim=(1, 2), keepdim=True, correction=0)
    return ((photo - mean) / deviation.clamp_min(1e-6) * wanted + to).clamp(0, 1)


def _quarters(image: Tensor) -> list[Tensor]:
    return [part for half in image.chunk(2, dim=1) for part in half.chunk(2, dim=2)]


def _quotient(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("inf")
