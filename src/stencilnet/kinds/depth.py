"""Depth estimation: the inverse distance of each pixel."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from stencilnet.kinds.kind import Traits
from stencilnet.pictures.images import Floats, to_picture, unit_image


@dataclass(frozen=True, kw_only=True)
class DepthKind:
    """Predicts inverse depth as a gray picture (255 is nearest, 0 is infinitely far)."""

    kind: ClassVar[str] = "depth"
    traits: ClassVar[Traits] = Traits(
        category="depth",
        output="1 / distance",
        raw="inverse depth, to be clamped to [0, 1]: 1 is nearest, 0 infinitely far",
        loss="L1",
        scaling="output",
    )
    learner: ClassVar[str] = "stencilnet.tasks.depth:Depth"

    @property
    def channels(self) -> int:
        """Inverse depth."""
        return 1

    def settings(self) -> dict[str, Any]:
        """Return no settings."""
        return {}

    def to_input(self, image: Image.Image) -> Floats:
        """Return the picture itself, ``(3, H, W)`` in [0, 1]."""
        return unit_image(image)

    def to_image(self, output: Floats, image: Floats) -> Image.Image:  # noqa: ARG002
        """Return the map as a gray picture, clamped to [0, 1]."""
        return to_picture(np.repeat(output, 3, axis=0))
