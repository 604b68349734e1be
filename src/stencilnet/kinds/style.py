"""Style transfer: repaints photos in the style of one image."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from stencilnet.kinds.kind import PhotoInput, Traits
from stencilnet.pictures.images import Floats, to_picture
from stencilnet.text.fields import Rule, check_fields


@dataclass(frozen=True, kw_only=True)
class StyleKind(PhotoInput):
    """Repaints photos in one style (the paper, Table 1, Tasks 4 and 5). A sigmoid of the output is RGB.

    Running a task needs none of the settings; they document its style.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    kind: ClassVar[str] = "style"
    traits: ClassVar[Traits] = Traits(
        category="style transfer",
        raw="logits of R, G and B: their sigmoid is in [0, 1]",
        loss="content + style",
        scaling="picture",
    )
    learner: ClassVar[str] = "stencilnet.tasks.style:StyleTransfer"

    style: str
    """The style image: ``painted:`` and a name in `stencilnet.scenes.STYLES`, or a picture's path under the data
    root."""
    style_size: int = 256
    """Shorter side to which the style image is resized, in pixels. Relative to the crop, it sets the stroke size."""
    preset: str = "johnson"
    """``johnson``: VGG16, Gram / (C*H*W), weights 1e5 and 1e10. ``gatys``: VGG19, Gram / (H*W), 1 and 1e3/n^2."""
    content_weight: float | None = None
    """Weight of the content loss, in the preset's scale; by default the preset's."""
    style_weight: float | None = None
    """Weight of the style loss, in the preset's scale; by default the preset's (for ``gatys``, the 1e3)."""
    smoothness: float = 0.0
    """Weight of the output's total variation in training (Johnson et al. 2016, Sec. 3.2): the mean absolute difference
    of neighbouring pixels in [0, 1]. No metric includes it. Without it, short trainings leave fine lines."""

    def __post_init__(self) -> None:
        check_fields(*self._rules(), owner="style's")

    def _rules(self) -> list[Rule]:
        weights = {"content_weight": self.content_weight, "style_weight": self.style_weight}
        return [
            ("style", bool(self.style), "to name a style image, but got nothing"),
            ("smoothness", self.smoothness >= 0, f"to be at least 0, but got {self.smoothness}"),
            *((name, value is None or value > 0, f"to be above 0, but got {value}") for name, value in weights.items()),
        ]

    @property
    def channels(self) -> int:
        """R, G and B."""
        return 3

    def settings(self) -> dict[str, Any]:
        """Return every setting."""
        return {
            "style": self.style,
            "style_size": self.style_size,
            "preset": self.preset,
            "content_weight": self.content_weight,
            "style_weight": self.style_weight,
            "smoothness": self.smoothness,
        }

    def to_rgb(self, output: Floats, image: Floats) -> Floats:  # noqa: ARG002
        """Return the repainted photo."""
        sigmoid = (np.tanh(output / 2) + 1) / 2  # 1 / (1 + exp(-x)) would overflow
        return np.asarray(sigmoid, np.float32)

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        """Return the repainted photo."""
        return to_picture(self.to_rgb(output, image))
