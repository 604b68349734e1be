"""Depth estimation: the inverse distance of each pixel."""

from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from stencilnet.kinds.kind import PhotoInput, Traits
from stencilnet.kinds.ycbcr import thrice
from stencilnet.pictures.images import Floats, to_picture


@dataclass(frozen=True, kw_only=True)
class DepthKind(PhotoInput):
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

    def to_map(self, output: Floats, image: Floats) -> Floats:  # noqa: ARG002
        """Return inverse depth, clamped to [0, 1]."""
        inverse: Floats = output[0].clip(0, 1)
        return inverse

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        """Return the map as a gray picture of mode RGB."""
        return to_picture(thrice(self.to_map(output, image)[None]))
