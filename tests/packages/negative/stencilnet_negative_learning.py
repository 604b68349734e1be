"""The same task kind for those who learn its tasks."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch.nn.functional as F
from PIL import Image
from stencilnet_negative import NegativeKind
from torch import Tensor, nn

from stencilnet.pictures.images import to_picture
from stencilnet.tasks.checks import photo_of, unit
from stencilnet.tasks.metrics import MSE, MeanOverImages, mse
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Recipe, Sample


@dataclass(frozen=True, kw_only=True)
class Negative(NegativeKind, Plain):
    """Learns the negative of a photo: L1 on RGB in [0, 1]."""

    weight_of_loss: float = 1.0
    """Factor of the loss; not part of what a bundle keeps."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean squared error."""
        return (MSE,)

    @property
    def trivial(self) -> str:
        """The photo as it is."""
        return "identity"

    @classmethod
    def recipe(cls) -> Recipe:
        """Two examples a step."""
        return Recipe(batch=2)

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input``, (3, H, W) uint8."""
        return {"input": photo_of(example)}

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` and ``target``, (3, H, W) in [0, 1]."""
        photo = unit(sample["input"])
        return {"input": photo, "target": self.level * (1 - photo)}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        """Mean absolute error."""
        return {"l1": self.weight_of_loss * F.l1_loss(output.float(), sample["target"])}

    def scores(self) -> MeanOverImages:
        """Return fresh accumulators."""
        return MeanOverImages(lambda output, sample: {MSE.name: mse(output.float().clamp(0, 1), sample["target"])})

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Answer with the photo."""
        return lambda sample: sample["input"]

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the true negative."""
        return to_picture(sample["target"].numpy())
