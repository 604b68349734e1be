"""Surface normals of a picture: which way what each pixel shows is turned."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.tasks.checks import photo_of, target_of, unit, unit_image
from stencilnet.tasks.images import to_picture
from stencilnet.tasks.inventory import Inventory
from stencilnet.tasks.meanmap import mean_map
from stencilnet.tasks.metrics import MeanOverImages
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Sample
from stencilnet.tasks.traits import Traits

_SHORTEST = 0.5
"""Vectors shorter than this are no normals: there is no surface."""

MEAN_ANGLE = Metric(
    name="angle",
    higher_is_better=False,
    note="degrees between predicted and true normal, mean over the pixels that have one, then over images",
)
WITHIN = Metric(
    name="within_11.25",
    higher_is_better=True,
    note="% of these pixels within 11.25 degrees, mean over images (Fouhey et al. 2013)",
)


@dataclass(frozen=True, kw_only=True)
class Normals(Plain):
    """Learns unit vectors from a map of them in colours, ``255 * (n + 1) / 2``; L2 on vectors.

    Any axes will do that a mirrored picture does not turn; where x is to the right, leave out `view.flip`: a mirrored
    picture's normals point the other way, and a config with both is refused. Gray 128 is a vector of length 0: no
    surface, which the network learns too. Not in the paper, but in its future work.
    """

    kind: ClassVar[str] = "normals"
    traits: ClassVar[Traits] = Traits(
        category="surface normals", output="unit vectors", loss="L2", mirror="a mirror would turn them around"
    )

    @property
    def channels(self) -> int:
        """Three coordinates."""
        return 3

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean angle, and the share of pixels within a small one."""
        return MEAN_ANGLE, WITHIN

    @property
    def trivial(self) -> str:
        """The mean training map, whatever the picture."""
        return "mean map"

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input`` and ``target``, both (3, H, W) uint8.

        Raises:
            ValueError: If the example is no pair of uint8 RGB images of one size.
        """
        return {"input": photo_of(example), "target": target_of(example)}

    def inventory(self) -> Inventory:
        """Pixels that show a surface."""
        return Inventory(
            unit="pixels",
            things=("a surface",),
            enough="pixels with a surface",
            some="pixels with a surface",
            rest="of no surface (near gray 128)",
            remedy="Save maps of unit vectors n as 255 * (n + 1) / 2.",
        )

    def count(self, example: Example) -> Tensor:
        """Return the number of pixels with a surface, and of those without."""
        known = _surface(self.prepare(self.sample(example))["target"])
        return torch.stack([known.sum(), (~known).sum()])

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) in [0, 1] and ``target`` (3, H, W): unit vectors, or 0 where there is none."""
        return {"input": unit(sample["input"]), "target": _normals(2 * unit(sample["target"]) - 1)}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Mean squared error of the coordinates, those of no surface (0) included."""
        return {"l2": F.mse_loss(output.float(), sample["target"])}

    def scores(self) -> MeanOverImages:
        """Return fresh accumulators."""
        return MeanOverImages(_measure, counted=lambda sample: _surface(sample["target"]).flatten(1).any(dim=1))

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Answer with the mean training map."""
        return mean_map(training)

    def to_input(self, image: Image.Image) -> Tensor:
        """Return the picture itself, ``(3, H, W)`` in [0, 1]."""
        return unit_image(image)

    def to_image(self, output: Tensor, image: Tensor) -> Image.Image:  # noqa: ARG002
        """Return the normals in colours; gray where the output is too short to be one."""
        return to_picture((_normals(output.float()) + 1) / 2)

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the true map."""
        return to_picture((sample["target"] + 1) / 2)


def _normals(vectors: Tensor) -> Tensor:
    """Scale vectors ``(..., 3, H, W)`` to length 1, or 0 if they are short."""
    length = vectors.norm(dim=-3, keepdim=True)
    unit_or_none: Tensor = (vectors / length.clamp(min=_SHORTEST)).where(length >= _SHORTEST, 0)
    return unit_or_none


def _surface(vectors: Tensor) -> Tensor:
    """Return where there is a normal: ``(..., 3, H, W)`` to ``(..., H, W)`` bool."""
    return vectors.square().sum(dim=-3) > 0


def _measure(output: Tensor, sample: Sample) -> dict[str, Tensor]:
    """Return each image's measures, whatever the outputs' lengths; one without a surface does not count."""
    predicted, true = output.float(), sample["target"]
    known = _surface(true)
    # Not acos: it has no digits left near 0.
    across, along = torch.linalg.cross(predicted, true, dim=1).norm(dim=1), (predicted * true).sum(dim=1)
    angle = torch.rad2deg(torch.atan2(across, along)).where(known, 0)
    count = known.sum(dim=(1, 2)).clamp(min=1)
    off = angle > 11.25
    return {MEAN_ANGLE.name: angle.sum(dim=(1, 2)) / count, WITHIN.name: 100 - 100 * off.sum(dim=(1, 2)) / count}
