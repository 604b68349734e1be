"""A task kind of another package, for those who run its tasks: photos become their negatives. It needs no PyTorch."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from stencilnet.kinds.kind import Traits
from stencilnet.pictures.images import Floats, to_picture, unit_image


@dataclass(frozen=True, kw_only=True)
class NegativeKind:
    """Shows the negative of a photo."""

    kind: ClassVar[str] = "negative"
    traits: ClassVar[Traits] = Traits(
        category="photo to negative", loss="L1 to the negative", damage=True, mirror="a negative is the wrong way round"
    )
    learner: ClassVar[str] = "stencilnet_negative_learning:Negative"

    level: float = 1.0
    """What a photo's black becomes, in [0, 1]."""

    @property
    def channels(self) -> int:
        """R, G and B."""
        return 3

    def settings(self) -> dict[str, Any]:
        """The level."""
        return {"level": self.level}

    def to_input(self, image: Image.Image) -> Floats:
        """Return the photo, ``(3, H, W)`` in [0, 1]."""
        return unit_image(image)

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        """Return the negative, darkened to the level."""
        return to_picture(np.minimum(output, self.level))
