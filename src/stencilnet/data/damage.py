"""Damage done to clean images, for `restoration`: the damaged image is the input, the clean one its target.

It is part of the view, not of a task: who runs a bundle has a damaged picture already. It comes after resizing and
cropping, so that its numbers hold for the pixels that the network sees.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from stencilnet.tasks.task import Example

HOLE = 128
"""Level of R, G and B in a hole: who has a picture to fill in paints its holes so."""
_HOLE_SIDES = (1 / 16, 1 / 4)
"""Shortest and longest side of a hole, as shares of the image's shorter side."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """White Gaussian noise on R, G and B, rounded and cut to 0-255.

    Raises:
        ValueError: If it does nothing.
    """

    kind: Literal["noise"] = "noise"
    """Which kind of damage this is."""
    sigma: float = 25.0
    """Standard deviation in levels of 0-255."""

    def __post_init__(self) -> None:
        _check(self.sigma > 0, f"`sigma` to be positive, but got {self.sigma}")

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Damage an image, ``(3, H, W)`` uint8 to the same."""
        return _levels(image + self.sigma * torch.randn(image.shape, generator=generator))


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur; the image is reflected at its border.

    Raises:
        ValueError: If it does nothing.
    """

    kind: Literal["blur"] = "blur"
    """Which kind of damage this is."""
    sigma: float = 1.5
    """Standard deviation in pixels; the window reaches three of them, or to the image's end."""

    def __post_init__(self) -> None:
        _check(self.sigma > 0, f"`sigma` to be positive, but got {self.sigma}")

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Damage an image, ``(3, H, W)`` uint8 to the same; nothing is drawn."""
        from torchvision.transforms.v2 import functional

        reach = max(1, round(3 * self.sigma))
        sides = [2 * min(reach, side - 1) + 1 for side in (image.shape[2], image.shape[1])]
        return _levels(functional.gaussian_blur(image.float(), sides, [self.sigma, self.sigma]))


@dataclass(frozen=True, kw_only=True)
class Downscale:
    """A lower resolution: bicubic down by a factor, antialiased, and up again to the same size (Dong et al. 2014).

    Both as Pillow does it, but for its rounding between rows and columns: a small picture that was enlarged by
    Pillow (``BICUBIC``) is an input of this kind.

    Raises:
        ValueError: If it does nothing.
    """

    kind: Literal["downscale"] = "downscale"
    """Which kind of damage this is."""
    factor: float = 3.0
    """Above 1: how many pixels become one along each side, but for rounding."""

    def __post_init__(self) -> None:
        _check(self.factor > 1, f"`factor` to be above 1, but got {self.factor}")

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Damage an image, ``(3, H, W)`` uint8 to the same; nothing is drawn."""
        size = [*image.shape[1:]]
        small = [max(1, round(side / self.factor)) for side in size]
        low = F.interpolate(image[None].float(), small, mode="bicubic", antialias=True)
        low = _levels(low).float()  # a small picture is stored in bytes, too
        return _levels(F.interpolate(low, size, mode="bicubic", antialias=True))[0]


@dataclass(frozen=True, kw_only=True)
class Holes:
    """Rectangles of flat gray, `HOLE`, at random places, until they cover a share of the image.

    Raises:
        ValueError: If the share is out of range.
    """

    kind: Literal["holes"] = "holes"
    """Which kind of damage this is."""
    share: float = 0.2
    """Share of the pixels in holes, above 0 and at most 0.9; the last hole may exceed it."""

    def __post_init__(self) -> None:
        _check(0 < self.share <= 0.9, f"`share` to lie in (0, 0.9], but got {self.share}")

    def apply(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Damage an image, ``(3, H, W)`` uint8 to the same."""
        height, width = image.shape[1:]
        low, high = _HOLE_SIDES
        hole = torch.zeros(height, width, dtype=torch.bool)
        while hole.float().mean() < self.share:
            tall, wide, down, across = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
            rows, columns = (min(height, width) * (low + (high - low) * drawn) / 2 for drawn in (tall, wide))
            hole[_span(down, rows, height), _span(across, columns, width)] = True
        return image.masked_fill(hole, HOLE)


Damage = Noise | Blur | Downscale | Holes
"""Any damage; `kind` says which."""


def damaged(example: Example, damage: Damage, generator: torch.Generator) -> Example:
    """Return an example whose image is damaged and whose target is the clean image.

    Raises:
        ValueError: If the example has a target already.
    """
    if example.target is not None:
        raise ValueError(
            f"Example `{example.name}`: expected a clean image alone to damage, but it has a target of its own. "
            "Leave out `damage`, or give data without targets (source `images`)."
        )
    return replace(example, image=damage.apply(example.image, generator), target=example.image)


def generator_for(name: str) -> torch.Generator:
    """Return a generator for an example's name: what is evaluated is damaged alike in every run, whatever its seed."""
    return torch.Generator().manual_seed(
        int.from_bytes(blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest(), "little")
    )


def _span(drawn: float, half: float, side: int) -> slice:
    """Pixels within `half` of a place that may lie beyond the border by as much: none is covered more often."""
    middle = drawn * (side + 2 * half) - half
    return slice(max(0, round(middle - half)), max(0, round(middle + half)))


def _levels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def _check(holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"Expected {expected}.")
