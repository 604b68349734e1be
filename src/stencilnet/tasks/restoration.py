"""Image-to-image translation learned from pairs, such as denoising, deblurring and retouching."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.kinds.restoration import TENTH, RestorationKind
from stencilnet.pictures.images import to_picture
from stencilnet.tasks.checks import photo_of, target_of, unit
from stencilnet.tasks.metrics import MSE, PSNR, SSIM, MeanOverImages, mse, psnr, ssim
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Sample
from stencilnet.text.fields import check_fields

DISTANCES = ("l1", "l2")


@dataclass(frozen=True, kw_only=True)
class Restoration(RestorationKind, Plain):
    """Predicts the target image of a pair from its input image: L1 or L2 on RGB in [0, 1].

    The output is linear, so that it can be exactly black or white; only pictures and metrics clamp it. Not in the
    paper.

    Raises:
        ValueError: If settings are wrong; the error names all of them.
    """

    distance: str = "l1"
    """The loss: ``l1`` (mean absolute error, sharper) or ``l2`` (mean squared error, highest PSNR)."""

    def __post_init__(self) -> None:
        known = self.distance in DISTANCES
        check_fields(
            ("distance", known, f"to be one of {', '.join(DISTANCES)}, but got {self.distance!r}"),
            owner="restoration's",
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean squared error, peak signal-to-noise ratio and structural similarity to the target."""
        return MSE, PSNR, SSIM

    @property
    def trivial(self) -> str:
        """The unchanged input."""
        return "identity"

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

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the target of the pair."""
        return to_picture(sample["target"].numpy())

    def _restored(self, output: Tensor, given: Tensor) -> Tensor:
        return given + TENTH * output.float() if self.residual else output.float()

    def _measure(self, output: Tensor, sample: Sample) -> dict[str, Tensor]:
        restored, target = self._restored(output, sample["input"]).clamp(0, 1), sample["target"]
        return {"MSE": mse(restored, target), "PSNR": psnr(restored, target), "SSIM": ssim(restored, target)}
