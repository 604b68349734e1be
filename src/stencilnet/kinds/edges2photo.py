"""Edge drawings to photos (the paper, Task 6; pix2pix, Isola et al. 2017)."""

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from stencilnet.kinds.edges import find_edges
from stencilnet.kinds.kind import Traits
from stencilnet.kinds.ycbcr import luma, thrice
from stencilnet.pictures.images import Floats, to_picture, unit_image
from stencilnet.text.fields import Rule, check_fields


@dataclass(frozen=True, kw_only=True)
class Edges2PhotoKind:
    """Generates a photo from its edges. The tanh of the output is RGB in [-1, 1].

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    kind: ClassVar[str] = "edges2photo"
    traits: ClassVar[Traits] = Traits(
        category="edge image colouring",
        input="edges",
        raw="R, G and B before tanh: (tanh + 1) / 2 is in [0, 1]",
        loss="GAN + L1",
        scaling="picture",
    )
    learner: ClassVar[str] = "stencilnet.tasks.edges2photo:Edges2Photo"

    edge_sigma: float = 1.4
    """Standard deviation of the Gaussian smoothing before edge detection, in pixels."""

    edge_low: float = 0.05
    """Lower hysteresis threshold of edge detection, as a contrast from 0 to 1."""

    edge_high: float = 0.1
    """Upper hysteresis threshold of edge detection, as a contrast from 0 to 1."""

    def __post_init__(self) -> None:
        check_fields(*self._rules(), owner="edges2photo's")

    def _rules(self) -> list[Rule]:
        sigma, low, high = self.edge_sigma, self.edge_low, self.edge_high
        return [
            ("edge_sigma", 0 < sigma < inf, f"to be positive and finite, but got {sigma}"),
            ("edge_low", 0 < low < inf, f"to be positive and finite, but got {low}"),
            ("edge_high", low <= high < inf, f"to be finite and not below `edge_low` ({low}), but got {high}"),
        ]

    @property
    def channels(self) -> int:
        """R, G and B before tanh."""
        return 3

    def settings(self) -> dict[str, Any]:
        """Settings of edge detection."""
        return {"edge_sigma": self.edge_sigma, "edge_low": self.edge_low, "edge_high": self.edge_high}

    def to_input(self, image: Image.Image) -> Floats:
        """Return a drawing of the photo's edges as three equal channels, ``(3, H, W)``: 0 on lines, 1 elsewhere."""
        return thrice(self.drawing_of(unit_image(image)))

    def drawing_to_input(self, image: Image.Image) -> Floats:
        """Return the luma of a drawing (dark lines on white) as three equal channels, ``(3, H, W)``."""
        return thrice(luma(unit_image(image)))

    def drawing_of(self, photo: Floats) -> Floats:
        """Draw the edges of a photo ``(3, H, W)`` in [0, 1]: ``(1, H, W)``, 0 on lines, 1 elsewhere."""
        lines = find_edges(luma(photo)[0], sigma=self.edge_sigma, low=self.edge_low, high=self.edge_high)
        return (~lines[None]).astype(np.float32)

    def to_rgb(self, output: Floats, image: Floats) -> Floats:  # noqa: ARG002
        """Return the generated photo."""
        return np.asarray((np.tanh(output) + 1) / 2, np.float32)

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        """Return the generated photo."""
        return to_picture(self.to_rgb(output, image))
