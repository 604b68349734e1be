"""Synthetic damage to clean images, for `restoration`: the damaged image is the input, the clean one the target.

It is part of the view, not of the task, since the users of a bundle have damaged pictures already. It is applied after
resizing and cropping, so that its settings refer to the network's pixels.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from stencilnet.tasks.task import Example
from stencilnet.text.fields import check_fields

HOLE = 128
"""Level of R, G and B in a hole. Users of a trained task must fill the holes of their pictures with it."""
_HOLE_SIDES = (1 / 16, 1 / 4)
"""Shortest and longest side of a hole, relative to the image's shorter side."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """White Gaussian noise on R, G and B, rounded and clamped to 0-255.

    Raises:
        ValueError: If `sigma` is not positive, or `least` is negative or above it.
    """

    kind: Literal["noise"] = "noise"
    """Kind of the damage."""
    sigma: float = 25.0
    """Standard deviation, on the scale 0-255."""
    least: float | None = None
    """If set, each image's standard deviation is drawn uniformly from `least` to `sigma`."""

    def __post_init__(self) -> None:
        _check_sigma(self.sigma, self.least)

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return a damaged copy of an image, ``(3, H, W)`` uint8."""
        sigma = _sigma(self.sigma, self.least, generator)
        return _levels(image + sigma * torch.randn(image.shape, generator=generator))


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur, with reflection at the image's border.

    Raises:
        ValueError: If `sigma` is not positive, or `least` is negative or above it.
    """

    kind: Literal["blur"] = "blur"
    """Kind of the damage."""
    sigma: float = 1.5
    """Standard deviation in pixels. The kernel radius is three standard deviations, less in small images."""
    least: float | None = None
    """If set, each image's standard deviation is drawn uniformly from `least` to `sigma`."""

    def __post_init__(self) -> None:
        _check_sigma(self.sigma, self.least)

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return a damaged copy of an image, ``(3, H, W)`` uint8; without `least`, `generator` is not used."""
        from torchvision.transforms.v2 import functional

        sigma = max(_sigma(self.sigma, self.least, generator), 0.01)  # 0 has no kernel; 0.01 changes no pixel
        reach = max(1, round(3 * sigma))
        sides = [2 * min(reach, side - 1) + 1 for side in (image.shape[2], image.shape[1])]
        return _levels(functional.gaussian_blur(image.float(), sides, [sigma, sigma]))


@dataclass(frozen=True, kw_only=True)
class Downscale:
    """A lower resolution: bicubic downscaling with antialiasing, then upscaling to the old size (Dong et al. 2014).

    Both steps are as in Pillow, except for its rounding between rows and columns, so a small picture enlarged by
    Pillow (``BICUBIC``) is a valid input for a trained task.

    Raises:
        ValueError: If `factor` is not above 1.
    """

    kind: Literal["downscale"] = "downscale"
    """Kind of the damage."""
    factor: float = 3.0
    """Downscaling factor of each side, above 1; the smaller sides are rounded to whole pixels."""

    def __post_init__(self) -> None:
        check_fields(("factor", self.factor > 1, f"to be above 1, but got {self.factor}"))

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return a damaged copy of an image, ``(3, H, W)`` uint8; `generator` is not used."""
        size = [*image.shape[1:]]
        small = [max(1, round(side / self.factor)) for side in size]
        low = F.interpolate(image[None].float(), small, mode="bicubic", antialias=True)
        low = _levels(low).float()  # as if the small picture had been stored in 8 bits
        return _levels(F.interpolate(low, size, mode="bicubic", antialias=True))[0]


@dataclass(frozen=True, kw_only=True)
class Holes:
    """Rectangles of gray level `HOLE` at random positions, until they cover a share of the image.

    Raises:
        ValueError: If `share` is out of range.
    """

    kind: Literal["holes"] = "holes"
    """Kind of the damage."""
    share: float = 0.2
    """Share of pixels in holes, above 0 and at most 0.9; the last hole may exceed it."""

    def __post_init__(self) -> None:
        check_fields(("share", 0 < self.share <= 0.9, f"to lie in (0, 0.9], but got {self.share}"))

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Return a damaged copy of an image, ``(3, H, W)`` uint8."""
        height, width = image.shape[1:]
        low, high = _HOLE_SIDES
        hole = torch.zeros(height, width, dtype=torch.bool)
        while hole.float().mean() < self.share:
            tall, wide, down, across = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
            rows, columns = (min(height, width) * (low + (high - low) * drawn) / 2 for drawn in (tall, wide))
            hole[_span(down, rows, height), _span(across, columns, width)] = True
        return image.masked_fill(hole, HOLE)


Damage = Noise | Blur | Downscale | Holes
"""Any damage; `kind` tells them apart."""


def damaged(example: Example, damage: Damage, generator: torch.Generator) -> Example:
    """Return an example whose image is damaged and whose target is the clean image.

    Raises:
        ValueError: If the example already has a target.
    """
    if example.target is not None:
        raise ValueError(
            f"Example `{example.name}`: expected a clean image without target to damage, but it has a target. "
            "Remove `damage`, or use data without targets (source `images`)."
        )
    return replace(example, image=damage.apply(example.image, generator), target=example.image)


def generator_for(name: str) -> torch.Generator:
    """Return a generator seeded by an example's name, so that evaluation damages it equally in every run."""
    return torch.Generator().manual_seed(
        int.from_bytes(blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest(), "little")
    )


def _check_sigma(sigma: float, least: float | None) -> None:
    check_fields(
        ("sigma", sigma > 0, f"to be positive, but got {sigma}"),
        ("least", least is None or 0 <= least <= sigma, f"to lie in [0, sigma] or be none, but got {least}"),
    )


def _sigma(sigma: float, least: float | None, generator: torch.Generator) -> float:
    """Return the standard deviation for one image; the generator is used only if there is a choice."""
    return sigma if least is None else least + (sigma - least) * float(torch.rand((), generator=generator))


def _span(drawn: float, half: float, side: int) -> slice:
    """Return the pixels within `half` of a random centre, which may lie up to `half` outside the border.

    So every pixel is equally likely to be covered.
    """
    middle = drawn * (side + 2 * half) - half
    return slice(max(0, round(middle - half)), max(0, round(middle + half)))


def _levels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)
