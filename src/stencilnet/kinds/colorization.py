"""Colouring of gray images: predicts the two chroma channels from luma (the paper, Task 3)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from stencilnet.kinds.kind import Traits
from stencilnet.kinds.ycbcr import luma, thrice, ycbcr_to_rgb
from stencilnet.pictures.images import Floats, to_picture, unit_image


@dataclass(frozen=True, kw_only=True)
class ColorizationKind:
    """Predicts chroma, (CbCr - 128) / 128, from luma. Pictures combine it with the luma of the input.

    YCbCr is full-range BT.601 (JFIF). The output is linear; only pictures are clamped.
    """

    kind: ClassVar[str] = "colorization"
    traits: ClassVar[Traits] = Traits(
        category="gray image colouring",
        input="gray (Y)",
        output="CbCr",
        raw="(Cb - 128) / 128 and (Cr - 128) / 128 of full-range BT.601, to be joined with the input's Y",
        loss="L2",
        scaling="output",
    )
    learner: ClassVar[str] = "stencilnet.tasks.colorization:Colorization"

    @property
    def channels(self) -> int:
        """Cb and Cr."""
        return 2

    def settings(self) -> dict[str, Any]:
        """Return no settings."""
        return {}

    def to_input(self, image: Image.Image) -> Floats:
        """Return the photo's luma as three equal channels, ``(3, H, W)`` in [0, 1]."""
        return self.rgb_to_input(unit_image(image))

    def rgb_to_input(self, photo: Floats) -> Floats:
        """Return the luma of a photo ``(3, H, W)`` as three equal channels, both in [0, 1]."""
        return thrice(luma(photo))

    def to_rgb(self, output: Floats, image: Floats) -> Floats:
        """Combine predicted chroma ``(2, H, W)`` with the input's luma, not clamped."""
        return np.asarray(ycbcr_to_rgb(np.concatenate([255 * image[:1], 128 + 128 * output])) / 255, np.float32)

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        """Combine predicted chroma ``(2, H, W)`` with the input's luma."""
        return to_picture(self.to_rgb(output, image))
