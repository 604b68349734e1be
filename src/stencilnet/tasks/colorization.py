"""Colouring of gray images: predicts the two chroma channels from luma (the paper, Task 3)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from stencilnet.kinds.colorization import ColorizationKind
from stencilnet.pictures.images import to_picture
from stencilnet.tasks.checks import photo_of, unit
from stencilnet.tasks.inventory import Inventory
from stencilnet.tasks.metrics import MSE, SSIM, MeanOverImages, mse, ssim
from stencilnet.tasks.plain import Plain
from stencilnet.tasks.task import Example, Metric, Predictor, Sample
from stencilnet.tasks.ycbcr import luma, rgb_to_ycbcr, thrice, ycbcr_to_rgb

GRAY_SPREAD = 4
"""Levels by which the channels of a gray photo may differ: JPEG's error when a gray photo is stored in colour."""


@dataclass(frozen=True, kw_only=True)
class Colorization(ColorizationKind, Plain):
    """Predicts chroma from luma: L2 on (CbCr - 128) / 128. Pictures combine it with the luma of the input.

    YCbCr is full-range BT.601 (JFIF). The output is linear; only pictures are clamped. The metrics are computed on the
    combined RGB, clamped to 0-255 and not rounded.
    """

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Mean squared error and structural similarity of the combined RGB, and mean squared error of CbCr."""
        note = "CbCr, 0-255, mean over pixels, channels and images"
        return MSE, SSIM, Metric(name="MSE_CbCr", higher_is_better=False, note=note)

    @property
    def trivial(self) -> str:
        """No colour."""
        return "gray"

    def sample(self, example: Example) -> dict[str, Tensor]:
        """Return the photo as ``image`` (3, H, W), uint8.

        Raises:
            ValueError: If the image is not uint8 RGB.
        """
        return {"image": photo_of(example)}

    def inventory(self) -> Inventory:
        """Photos with colour: on gray photos the trivial baseline is perfect."""
        return Inventory(
            unit="photos",
            things=("colour",),
            enough="photos with colour",
            some="photos with colour",
            rest="gray",
            remedy="Use colour photos: colouring cannot be learned from gray ones.",
        )

    def count(self, example: Example) -> Tensor:
        """Return (1, 0) for a photo with colour, (0, 1) for a gray one."""
        gray = is_gray(example)
        return torch.tensor([not gray, gray], dtype=torch.int64)

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return ``input`` (3, H, W), luma repeated, ``target`` (2, H, W) in [-1, 1], and the photo as ``image``."""
        photo = unit(sample["image"])
        return {"input": thrice(luma(photo)), "target": _chroma(photo), "image": photo}

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Mean squared error of the scaled chroma (the paper, Sec. 4.1: "L2 loss")."""
        return {"l2": F.mse_loss(output.float(), sample["target"])}

    def scores(self) -> MeanOverImages:
        """Return new accumulators."""
        return MeanOverImages(_measure)

    def baseline(self, training: Iterable[Sample]) -> Predictor:  # noqa: ARG002
        """Predict no colour (Cb = Cr = 128), so the picture is the gray input."""
        return lambda sample: torch.zeros_like(sample["input"][:, : self.channels])

    def target_image(self, sample: Sample) -> Image.Image:
        """Return the photo."""
        return to_picture(sample["image"].numpy())


def is_gray(example: Example) -> bool:
    """Return whether a photo has no colour, so that a data set can drop and count it.

    A photo is gray if no pixel's channels differ by more than `GRAY_SPREAD` levels.
    """
    return bool((example.image.amax(dim=0) - example.image.amin(dim=0)).max() <= GRAY_SPREAD)


def _chroma(rgb: Tensor) -> Tensor:
    return (rgb_to_ycbcr(255 * rgb)[..., 1:, :, :] - 128) / 128


def _join(chroma: Tensor, image: Tensor) -> Tensor:
    """Combine scaled chroma ``(..., 2, H, W)`` with the luma of an input ``(..., 3, H, W)`` to RGB in [0, 1]."""
    levels = 128 + 128 * chroma.float()
    return (ycbcr_to_rgb(torch.cat([255 * image[..., :1, :, :], levels], dim=-3)) / 255).clamp(0, 1)


def _measure(output: Tensor, sample: Sample) -> dict[str, Tensor]:
    coloured, photo = _join(output, sample["input"]), sample["image"]
    chroma = (128 * (output.float() - sample["target"])).square().mean(dim=(1, 2, 3))
    return {"MSE": mse(coloured, photo), "SSIM": ssim(coloured, photo), "MSE_CbCr": chroma}
