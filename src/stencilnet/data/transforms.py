"""Resizing, cropping, flipping and damaging of examples: image, label and target share one geometry."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from stencilnet.data.damage import Damage, damaged, generator_for
from stencilnet.tasks.task import Example
from stencilnet.text.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class View:
    """How examples are resized, cropped, flipped and damaged.

    Raises:
        ValueError: If a setting is out of range.
    """

    crop: int = 256
    """Side of the square crop, in pixels. Smaller images are enlarged until their shorter side fits."""
    resize: int | None = None
    """Shorter side of the whole image before cropping, in pixels; None keeps the stored size."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the random scale factor in training, applied after `resize`."""
    flip: bool = True
    """Whether training examples are mirrored left to right with probability 1/2."""
    test: Literal["whole", "crop"] = "whole"
    """Input of the final evaluation: whole images, or their centre crops."""
    damage: Damage | None = None
    """For `restoration` of clean images: the damage that makes the input from an image, which becomes the target. In
    training it is drawn at each access; in evaluation it is seeded by the example's name."""

    def __post_init__(self) -> None:
        low, high = self.scale
        large = self.resize is None or self.resize >= 1
        check_fields(
            ("crop", self.crop >= 1, f"to be at least 1, but got {self.crop}"),
            ("resize", large, f"to be at least 1 or none, but got {self.resize}"),
            ("scale", 0 < low <= high, f"to be positive and in order, but got {self.scale}"),
            ("test", self.test in ("whole", "crop"), f"to be 'whole' or 'crop', but got {self.test!r}"),
        )


def resized(example: Example, view: View) -> Example:
    """Return an example resized to a shorter side of `View.resize` pixels, or unchanged if that is None.

    Both views start with this step, so caching its result decodes and resizes each file once.

    Raises:
        ValueError: If the example's parts differ in size.
    """
    _check(example)
    return _resize(example, _shorter(example, view))


def training_view(example: Example, view: View, generator: torch.Generator) -> Example:
    """Return a random crop of an example, ``(3, crop, crop)``, scaled and mirrored at random, and damaged.

    Scale and position are uniform. Images are resized bilinearly with antialiasing, labels to the nearest pixel centre.

    Args:
        example: The stored example, of any size.
        view: The view.
        generator: The only source of randomness. Four numbers are always drawn from it, then the damage.

    Raises:
        ValueError: If the example's parts differ in size, or an example to damage has a target.
    """
    _check(example)
    zoom, down, across, mirror = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    low, high = view.scale
    shorter = max(view.crop, _shorter(example, view) * (low + (high - low) * zoom))
    resized = _resize(example, shorter)
    height, width = resized.image.shape[1:]
    top, left = int(down * (height - view.crop + 1)), int(across * (width - view.crop + 1))
    cropped = _crop(resized, view.crop, top, left)
    seen = _map(cropped, lambda part: part.flip(-1)) if view.flip and mirror < 0.5 else cropped
    return seen if view.damage is None else damaged(seen, view.damage, generator)


def evaluation_view(example: Example, view: View, whole: bool) -> Example:
    """Return an example for evaluation: resized if the view says so, then whole or cropped at its centre, then damaged.

    Without `View.resize`, whole examples, and so the metrics, are at the stored size. The damage depends only on the
    example's name.

    Args:
        example: The stored example, of any size.
        view: The view; its random scale and flip do not apply.
        whole: Whether to keep the whole image ``(3, H, W)`` rather than crop it to ``(3, crop, crop)``.

    Raises:
        ValueError: If the example's parts differ in size, or an example to damage has a target.
    """
    _check(example)
    seen = _resize(example, _shorter(example, view)) if whole else _centre(example, view)
    return seen if view.damage is None else damaged(seen, view.damage, generator_for(example.name))


def _centre(example: Example, view: View) -> Example:
    resized = _resize(example, max(view.crop, _shorter(example, view)))
    height, width = resized.image.shape[1:]
    return _crop(resized, view.crop, (height - view.crop) // 2, (width - view.crop) // 2)


def _shorter(example: Example, view: View) -> int:
    return min(example.image.shape[1:]) if view.resize is None else view.resize


def _check(example: Example) -> None:
    sizes = {part.shape[-2:] for part in (example.image, example.label, example.target) if part is not None}
    if len(sizes) > 1:
        found = ", ".join(f"{height}x{width}" for height, width in sorted(sizes))
        raise ValueError(
            f"Expected image, label and target of the example {example.name} to have one size, but got {found} "
            "(height x width). Resize them to one size first."
        )


def _resize(example: Example, shorter: float) -> Example:
    """Resize so that the shorter side is `shorter`; both sides are rounded."""
    from torchvision.transforms.v2 import InterpolationMode, functional

    old = tuple(example.image.shape[1:])
    new = tuple(max(1, round(side * shorter / min(old))) for side in old)
    if new == old:
        return example

    def picture(part: Tensor) -> Tensor:
        resized: Tensor = functional.resize(part, list(new), InterpolationMode.BILINEAR, antialias=True)
        return resized

    def label(part: Tensor) -> Tensor:
        # NEAREST_EXACT shares the pixel centres of bilinear resizing; NEAREST is off by up to half a pixel.
        resized: Tensor = functional.resize(part.unsqueeze(0), list(new), InterpolationMode.NEAREST_EXACT)
        return resized.squeeze(0)

    return _map(example, picture, label)


def _crop(example: Example, side: int, top: int, left: int) -> Example:
    return _map(example, lambda part: part[..., top : top + side, left : left + side])


def _map(
    example: Example, picture: Callable[[Tensor], Tensor], label: Callable[[Tensor], Tensor] | None = None
) -> Example:
    """Apply a function to all parts, or to the label its own function if given."""
    return replace(
        example,
        image=picture(example.image),
        label=None if example.label is None else (label or picture)(example.label),
        target=None if example.target is None else picture(example.target),
    )
