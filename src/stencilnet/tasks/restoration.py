"""Image-to-image translation learned from pairs, such as denoising, deblurring and retouching."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.pictures.images import to_picture
from stencilnet.tasks.checks import photo_of, refuse, target_of, unit, unit_image
from stencilnet.tasks.metrics import MSE, PSNR, SSIM, MeanOverImages, mse, psnr, ssim
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Sample
from stencilnet.tasks.traits import Traits

DISTANCES = ("l1", "l2")
_TENTH = 0.1
"""Change of R, G or B in [0, 1] for a residual output of 1."""


@dataclass(frozen=True, kw_only=True)
class Restoration(Plain):
    """Predicts the target image of a pair from its input image: L1 or L2 on RGB in [0, 1].

    The output is linear, so that it can be exactly black or white; only pictures and metrics clamp it. Not in the
    paper.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    kind: ClassVar[str] = "restoration"
    traits: ClassVar[Traits] = Traits(category="restoration", loss="L1 or L2", damage=True)

    distance: str = "l1"
    """The loss: ``l1`` (mean absolute error, sharper) or ``l2`` (mean squared error, highest PSNR)."""
    residual: bool = False
    """Whether the network predicts a residual to add to the input (Zhang et al. 2017, DnCNN) instead of the image. The
    output is divided by 10, so that its initial unit scale does not exceed typical residuals (Lim et al. 2017).

    For damage that leaves most of an image unchanged. Instance norm removes an image's brightness and contrast, which
    the network then cannot restore; a residual keeps those of the input."""

    def __post_init__(self) -> None:
        refuse(
            self.kind,
            [] if self.distance in DISTANCES else [f"`distance` should be one of {DISTANCES}, got {self.distance!r}"],
        )

    @property
    def channels(self) -> int:
        """R, G and B."""
        return 3

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean squared error, peak signal-to-noise ratio and structural similarity to the target."""
        return MSE, PSNR, SSIM

    @property
    def trivial(self) -> str:
        """The unchanged input."""
        return "identity"

    def settings(self) -> dict[str, Any]:
        """Whether outputs are residuals; inputs and outputs do not depend on the loss."""
        return {"residual": True} if self.residual else {}

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return ``input`` and ``target``, both (3, H, W) uint8.

        Raises:
            ValueError: If the example is not a pair of uint8 RGB images of one size.
        """
        return {"input": photo_of(example), "target": target_of(example)}

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` and ``target`` in [0, 1]."""
        return {"input": unit(sample["input"]), "target": unit(sample["target"])}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Mean absolute or squared error."""
        measure = F.l1_loss if self.distance == "l1" else F.mse_loss
        return {self.distance: measure(self._restored(output, sample["input"]), sample["target"])}

    def scores(self) -> MeanOverImages:
        """Return new accumulators."""
        return MeanOverImages(self._measure)

    def baseline(self, training: Iterable[Sample]) -> Predictor:  # noqa: ARG002
        """Predict the unchanged input."""
        return lambda sample: torch.zeros_like(sample["input"]) if self.residual else sample["input"]

    def to_input(self, image: Image.Image) -> Tensor:
        """Return the picture itself, ``(3, H, W)`` in [0, 1]."""
        return unit_image(image)

    def to_image(self, output: Tensor, image: Tensor) -> Image.Image:
        """Return the restored picture, clamped to [0, 1]."""
        return to_picture(self._restored(output, image).numpy())

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the target of the pair."""
        return to_picture(sample["target"].numpy())

    def _restored(self, output: Tensor, given: Tensor) -> Tensor:
        return given + _TENTH * output.float() if self.residual else output.float()

    def _measure(self, output: Tensor, sample: Sample) -> dict[str, Tensor]:
        restored, target = self._restored(output, sample["input"]).clamp(0, 1), sample["target"]
        return {"MSE": mse(restored, target), "PSNR": psnr(restored, target), "SSIM": ssim(restored, target)}
