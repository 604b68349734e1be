"""Depth estimation: the inverse distance of each pixel."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.kinds.depth import DepthKind
from stencilnet.pictures.images import to_picture
from stencilnet.tasks.checks import photo_of, target_of, unit
from stencilnet.tasks.inventory import Inventory
from stencilnet.tasks.meanmap import mean_map
from stencilnet.tasks.metrics import MeanOverImages
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Sample

_LEAST = 1 / 255
"""Smallest predicted inverse depth, one level of a map: an output of 0 would mean infinite depth."""
_FACTOR = 1.25
_LEVELS = 256

ABS_REL = Metric(
    name="AbsRel",
    higher_is_better=False,
    note="|predicted - true| / true depth, mean over the pixels that have one, then over images (Eigen et al. 2014); "
    "not capped: a pixel predicted as sky counts up to 255",
)
DELTA = Metric(
    name="delta_1.25",
    higher_is_better=True,
    note="% of the pixels with a finite depth that are predicted within a factor of 1.25, mean over images "
    "(Eigen et al. 2014)",
)


@dataclass(frozen=True, kw_only=True)
class Depth(DepthKind, Plain):
    """Predicts inverse depth as a gray picture (255 is nearest, 0 is infinitely far): L1 in [0, 1].

    Inverse depth, as in MiDaS (Ranftl et al. 2020), can represent the sky, and is linear in the row on a flat ground in
    perspective. The data define what 255 means in metres; the metrics need no unit. Turn `view.scale` off where depth
    is absolute: an enlarged crop looks nearer than its map says. The paper names this task as future work.
    """

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The share of pixels within a factor of 1.25, and the absolute relative error."""
        return DELTA, ABS_REL

    @property
    def trivial(self) -> str:
        """The mean of the training maps, whatever the input."""
        return "mean map"

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) and ``target`` (1, H, W), both uint8.

        Raises:
            ValueError: If the example is not a pair of uint8 RGB images of one size, or the target is not gray.
        """
        red, *others = target_of(example)
        if any((red != other).any() for other in others):
            raise ValueError(
                f"Example `{example.name}`: expected its target to be a gray map of inverse depth, but it has colours. "
                "Save the map itself, not a colour code: 255 for the nearest, 0 for infinitely far."
            )
        return {"input": photo_of(example), "target": red[None]}

    def inventory(self) -> Inventory:
        """Pixels of each depth; with a single depth, a constant prediction would be perfect."""
        return Inventory(
            unit="pixels",
            things=tuple(f"{level}/255" for level in range(1, _LEVELS)),
            least=2,
            enough="pixels of at least 2 finite depths",
            some="pixels of a finite depth",
            rest="0 (infinitely far)",
            remedy="Save maps of inverse depth as 8-bit gray pictures: 255 for the nearest, 0 for infinitely far.",
        )

    def count(self, example: Example) -> Tensor:
        """Return the number of pixels of each inverse depth from 1/255, and last of those infinitely far."""
        counts = torch.bincount(self.sample(example)["target"].flatten().long(), minlength=_LEVELS)
        return counts.roll(-1)

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W) and ``target`` (1, H, W) in [0, 1]."""
        return {"input": unit(sample["input"]), "target": unit(sample["target"])}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Mean absolute error of inverse depth, including the sky (0)."""
        return {"l1": F.l1_loss(output.float(), sample["target"])}

    def scores(self) -> MeanOverImages:
        """Return new accumulators."""
        return MeanOverImages(_measure, counted=lambda sample: (sample["target"] > 0).flatten(1).any(dim=1))

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Predict the mean of the training maps."""
        return mean_map(training)

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the true map."""
        return to_picture(sample["target"].expand(3, -1, -1).numpy())


def _measure(output: Tensor, sample: Sample) -> dict[str, Tensor]:
    """Return the metrics of each image; those of an image without a finite depth are not used."""
    true, inverse = sample["target"], output.float().clamp(_LEAST, 1)
    known = true > 0
    ratio = (true / inverse).where(known, 1)  # of predicted to true depth
    count = known.sum(dim=(1, 2, 3)).clamp(min=1)
    off = (ratio < 1 / _FACTOR) | (ratio > _FACTOR)
    return {
        DELTA.name: 100 - 100 * off.sum(dim=(1, 2, 3)) / count,
        ABS_REL.name: (ratio - 1).abs().sum(dim=(1, 2, 3)) / count,
    }
