"""A task kind of another package: photos become their negatives."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.pictures.images import to_picture
from stencilnet.tasks.checks import photo_of, unit, unit_image
from stencilnet.tasks.metrics import MSE, MeanOverImages, mse
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Recipe, Sample
from stencilnet.tasks.traits import Traits


@dataclass(frozen=True, kw_only=True)
class Negative(Plain):
    """Learns the negative of a photo: L1 on RGB in [0, 1]."""

    kind: ClassVar[str] = "negative"
    traits: ClassVar[Traits] = Traits(
        category="photo to negative", loss="L1 to the negative", damage=True, mirror="a negative is the wrong way round"
    )

    level: float = 1.0
    """What a photo's black becomes, in [0, 1]."""

    @property
    def channels(self) -> int:
        """R, G and B."""
        return 3

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

    def settings(self) -> dict[str, Any]:
        """The level."""
        return {"level": self.level}

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input``, (3, H, W) uint8."""
        return {"input": photo_of(example)}

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` and ``target``, (3, H, W) in [0, 1]."""
        photo = unit(sample["input"])
        return {"input": photo, "target": self.level * (1 - photo)}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        """Mean absolute error."""
        return {"l1": F.l1_loss(output.float(), sample["target"])}

    def scores(self) -> MeanOverImages:
        """Return fresh accumulators."""
        return MeanOverImages(lambda output, sample: {MSE.name: mse(output.float().clamp(0, 1), sample["target"])})

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Answer with the photo."""
        return lambda sample: sample["input"]

    def to_input(self, image: Image.Image) -> Tensor:
        """Return the photo, ``(3, H, W)`` in [0, 1]."""
        return unit_image(image)

    def to_image(self, output: Tensor, image: Tensor) -> Image.Image:
        """Return the negative, darkened to the level."""
        return to_picture(torch.minimum(output.float(), torch.tensor(self.level)).numpy())

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the true negative."""
        return to_picture(sample["target"].numpy())
