"""Image-to-image translation learned from pairs, such as denoising, deblurring and retouching."""

from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from stencilnet.kinds.kind import PhotoInput, Traits
from stencilnet.pictures.images import Floats, to_picture

TENTH = 0.1
"""Change of R, G or B in [0, 1] for a residual output of 1."""


@dataclass(frozen=True, kw_only=True)
class RestorationKind(PhotoInput):
    """Predicts an image from another.

    The output is linear, so that it can be exactly black or white; only pictures and metrics clamp it. Not in the
    paper.
    """

    kind: ClassVar[str] = "restoration"
    traits: ClassVar[Traits] = Traits(
        category="restoration",
        raw="R, G and B, to be clamped to [0, 1]; if `settings` has `residual`, a tenth of it is to be added to the "
        "input first",
        loss="L1 or L2",
        damage=True,
    )
    learner: ClassVar[str] = "stencilnet.tasks.restoration:Restoration"

    residual: bool = False
    """Whether the network predicts a residual to add to the input (Zhang et al. 2017, DnCNN) instead of the image. The
    output is divided by 10, so that its initial unit scale does not exceed typical residuals (Lim et al. 2017).

    For damage that leaves most of an image unchanged. Instance norm removes an image's brightness and contrast, which
    the network then cannot restore; a residual keeps those of the input."""

    @property
    def channels(self) -> int:
        """R, G and B."""
        return 3

    def settings(self) -> dict[str, Any]:
        """Whether outputs are residuals; inputs and outputs do not depend on the loss."""
        return {"residual": True} if self.residual else {}

    def to_rgb(self, output: Floats, image: Floats) -> Floats:
        """Return the restored picture, not clamped."""
        return image + TENTH * output if self.residual else output

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        """Return the restored picture, clamped to [0, 1]."""
        return to_picture(self.to_rgb(output, image))
