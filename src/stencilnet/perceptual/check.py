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
    seen = photos[:_PHOTOS]
    report = _sense(network, seen, style_a, style_b, preset), _sense(network, seen, style_b, style_a, preset)
    problems = [
        f"style {which}: {text}" for which, sense in zip("ab", report, strict=True) for text in sense.problems()
    ]
    if problems:
        raise PerceptualError(f"The style loss of `{network.name}` is unusable: {'; '.join(problems)}.")
    return report


@torch.no_grad()
def _sense(
    network: PerceptualNetwork, photos: Sequence[Tensor], style: Tensor, other: Tensor, preset: Preset
) -> StyleSense:
    criterion = Criterion(network, style, preset, preset.content_weight, preset.style_weight)

    def mean_loss(images: Sequence[Tensor]) -> float:
        losses = [float(criterion.style(x.float().to(network.device)[None])) for x in images]
        return sum(losses) / len(losses)

    matched = [match_palette(photo.float(), style) for photo in photos]
    tint = 1 - style.mean(dim=(1, 2), keepdim=True)
    of_photos, of_matched = mean_loss(photos), mean_loss(matched)
    return StyleSense(
        palette=_quotient(of_matched, of_photos),
        own=_quotient(mean_loss(_quarters(style)), mean_loss(_quarters(other))),
        tint=_quotient(mean_loss([0.5 * photo + 0.5 * tint for photo in matched]), of_matched),
        cost=_quotient(of_matched + _content(criterion, matched, photos), of_photos),
    )


def _content(criterion: Criterion, images: Sequence[Tensor], photos: Sequence[Tensor]) -> float:
    """Return the mean content loss of images against the photos that they were made from."""
    device = criterion.network.device
    losses = [
        float(criterion(image.to(device)[None], photo.float().to(device)[None])["content"])
        for image, photo in zip(images, photos, strict=True)
    ]
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
