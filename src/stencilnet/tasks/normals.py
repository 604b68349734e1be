"""Estimation of surface normals: the orientation of the surface at each pixel."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.kinds.normals import SHORTEST, NormalsKind
from stencilnet.pictures.images import to_picture
from stencilnet.tasks.checks import photo_of, target_of, unit
from stencilnet.tasks.inventory import Inventory
from stencilnet.tasks.meanmap import mean_map
from stencilnet.tasks.metrics import MeanOverImages
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Sample

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
class Normals(NormalsKind, Plain):
    """Predicts unit vectors n, stored as colours ``255 * (n + 1) / 2``: L2 on vectors.

    The axes are the data's. Mirroring a picture would invert its x axis, so a config with `view.flip` is refused. Gray
    128 is a vector of length 0: no surface, which the network learns too. The paper names this task as future work.
    """

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The mean angle, and the share of pixels within 11.25 degrees."""
        return MEAN_ANGLE, WITHIN

    @property
    def trivial(self) -> str:
        """The mean of the training maps, whatever the input."""
        return "mean map"

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input`` and ``target``, both (3, H, W) uint8.

        Raises:
            ValueError: If the example is not a pair of uint8 RGB images of one size.
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
        """Return the numbers of pixels with and without a surface."""
        known = _surface(self.prepare(self.sample(example))["target"])
        return torch.stack([known.sum(), (~known).sum()])

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) in [0, 1] and ``target`` (3, H, W): unit vectors, 0 where there is no surface."""
        return {"input": unit(sample["input"]), "target": _normals(2 * unit(sample["target"]) - 1)}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Mean squared error of the coordinates, including pixels without a surface (0)."""
        return {"l2": F.mse_loss(output.float(), sample["target"])}

    def scores(self) -> MeanOverImages:
        """Return new accumulators."""
        return MeanOverImages(_measure, counted=lambda sample: _surface(sample["target"]).flatten(1).any(dim=1))

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Predict the mean of the training maps."""
        return mean_map(training)

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the true map."""
        return to_picture(((sample["target"] + 1) / 2).numpy())


def _normals(vectors: Tensor) -> Tensor:
    """Scale vectors ``(..., 3, H, W)`` to length 1, or to 0 if they are shorter than `SHORTEST`."""
    length = vectors.norm(dim=-3, keepdim=True)
    unit_or_none: Tensor = (vectors / length.clamp(min=SHORTEST)).where(length >= SHORTEST, 0)
    return unit_or_none


def _surface(vectors: Tensor) -> Tensor:
    """Return where vectors ``(..., 3, H, W)`` are not 0, as ``(..., H, W)`` bool."""
    return vectors.square().sum(dim=-3) > 0


def _measure(output: Tensor, sample: Sample) -> dict[str, Tensor]:
    """Return the metrics of each image, independent of the outputs' lengths; images without a surface are not used."""
    predicted, true = output.float(), sample["target"]
    known = _surface(true)
    # Not acos, which loses all precision near 0.
    across, along = torch.linalg.cross(predicted, true, dim=1).norm(dim=1), (predicted * true).sum(dim=1)
    angle = torch.rad2deg(torch.atan2(across, along)).where(known, 0)
    count = known.sum(dim=(1, 2)).clamp(min=1)
    off = angle > 11.25
    return {MEAN_ANGLE.name: angle.sum(dim=(1, 2)) / count, WITHIN.name: 100 - 100 * off.sum(dim=(1, 2)) / count}
