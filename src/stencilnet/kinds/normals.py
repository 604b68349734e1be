"""Estimation of surface normals: the orientation of the surface at each pixel."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from stencilnet.kinds.kind import PhotoInput, Traits
from stencilnet.pictures.images import Floats, to_picture

SHORTEST = 0.5
"""Vectors shorter than this mean that there is no surface."""


@dataclass(frozen=True, kw_only=True)
class NormalsKind(PhotoInput):
    """Predicts unit vectors n, shown as colours ``255 * (n + 1) / 2``; gray 128 means that there is no surface."""

    kind: ClassVar[str] = "normals"
    traits: ClassVar[Traits] = Traits(
        category="surface normals",
        output="unit vectors",
        raw="the normal's three coordinates in [-1, 1]; a vector shorter than 0.5 means that there is no surface",
        loss="L2",
        mirror="a mirror would turn them around",
        scaling="output",
    )
    learner: ClassVar[str] = "stencilnet.tasks.normals:Normals"

    @property
    def channels(self) -> int:
        """The three coordinates."""
        return 3

    def settings(self) -> dict[str, Any]:
        """Return no settings."""
        return {}

    def to_rgb(self, output: Floats, image: Floats) -> Floats:  # noqa: ARG002
        """Return the normals as colours; gray where the output vector is too short."""
        length = np.linalg.norm(output, axis=0, keepdims=True)
        vectors = np.where(length >= SHORTEST, output / np.maximum(length, SHORTEST), 0)
        return np.asarray((vectors + 1) / 2, np.float32)

    def to_image(self, output: Floats, image: Floats) -> Image.Image:
        """Return the normals as colours; gray where the output vector is too short."""
        return to_picture(self.to_rgb(output, image))
