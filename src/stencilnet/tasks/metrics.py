"""Metrics: pure functions on batches, and accumulators over a split.

Metrics of pictures are computed per image and averaged over images, so neither batch size nor image size matters.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import compress
from math import exp

import torch
import torch.nn.functional as F
from torch import Tensor

from stencilnet.pictures.labels import VOID
from stencilnet.tasks.task import Metric, Sample

MSE = Metric(name="MSE", higher_is_better=False, note="RGB, 0-255, mean over pixels, channels and images")

SSIM = Metric(
    name="SSIM",
    higher_is_better=True,
    note=(
        "RGB, 0-255, 11x11 Gaussian window, sigma 1.5, K1 0.01, K2 0.03, population covariance, 5-pixel border left "
        "out, mean over pixels, channels and images (Wang et al. 2004)"
    ),
)

PSNR = Metric(
    name="PSNR", higher_is_better=True, note="dB, RGB, peak 255, mean over images; infinite where an image is exact"
)

_WINDOW = 11
"""Side of SSIM's window in pixels."""


def mse(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared error of each image, ``(N,)``, on the scale 0-255.

    Args:
        prediction: RGB ``(N, 3, H, W)`` in [0, 1].
        truth: As `prediction`.
    """
    return (255 * (prediction.float() - truth.float())).square().mean(dim=(1, 2, 3))


def psnr(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB, ``(N,)``: ``10 log10(255^2 / MSE)``.

    Args:
        prediction: RGB ``(N, 3, H, W)`` in [0, 1].
        truth: As `prediction`.
    """
    return 10 * torch.log10(255**2 / mse(prediction, truth))


def ssim(prediction: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity of each image, ``(N,)``, at most 1 (Wang et al. 2004, with their settings).

    11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, range 255, population covariance, on R, G and B, without
    the 5-pixel border where the window crosses the image's edge.

    Args:
        prediction: RGB ``(N, 3, H, W)`` in [0, 1], each side at least 11 px.
        truth: As `prediction`.

    Raises:
        ValueError: If an image is smaller than the window.
    """
    height, width = prediction.shape[-2:]
    if min(height, width) < _WINDOW:
        raise ValueError(
            f"Expected images of at least {_WINDOW}x{_WINDOW} px, the window of SSIM, but got {width}x{height} px. "
            "Use larger images."
        )
    # Mean squares minus squared means on 0-255: in single precision, rounding would lose the variance of flat areas.
    precise = torch.float32 if prediction.device.type == "mps" else torch.float64
    x, y = 255 * prediction.to(precise), 255 * truth.to(precise)
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = _window_means(torch.stack([x, y, x * x, y * y, x * y]))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance = mean_xy - mean_x * mean_y
    variances = (mean_xx - mean_x.square()) + (mean_yy - mean_y.square())
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    similarity: Tensor = luminance * (2 * covariance + c2) / (variances + c2)
    return similarity.mean(dim=(1, 2, 3))


def least_side(metrics: Iterable[Metric]) -> int:
    """Return the shortest side in pixels of pictures on which metrics can be measured."""
    return _WINDOW if any(metric.name == SSIM.name for metric in metrics) else 1


def _window_means(images: Tensor) -> Tensor:
    """Convolve ``(..., H, W)`` with the window, without padding: ``(..., H - 10, W - 10)``.

    The window is separable; sums of shifted images cost a tenth of a two-dimensional convolution.
    """
    half = _WINDOW // 2
    weights = [exp(-0.5 * (offset / 1.5) ** 2) for offset in range(-half, half + 1)]
    weights = [weight / sum(weights) for weight in weights]
    height, width = images.shape[-2] - 2 * half, images.shape[-1] - 2 * half
    down = torch.zeros_like(images[..., :height, :])
    for offset, weight in enumerate(weights):
        down.add_(images[..., offset : offset + height, :], alpha=weight)
    across = torch.zeros_like(down[..., :width])
    for offset, weight in enumerate(weights):
        across.add_(down[..., offset : offset + width], alpha=weight)
    return across


class MeanOverImages:
    """Averages per-image metrics over all images of a split.

    Args:
        measure: Maps raw outputs ``(N, C, H, W)`` and their sample to values ``(N,)`` by metric name.
        counted: Maps a sample to ``(N,)`` bool, false for images in which nothing can be measured; they are left out.
            None counts all images.
    """

    def __init__(
        self,
        measure: Callable[[Tensor, Sample], Mapping[str, Tensor]],
        counted: Callable[[Sample], Tensor] | None = None,
    ) -> None:
        self._measure = measure
        self._counted = counted
        self._sums: dict[str, float] = {}
        self._images = 0

    def update(self, output: Tensor, sample: Sample) -> None:
        """Add a batch."""
        with torch.no_grad():
            measures = self._measure(output, sample)
            kept = [True] * len(output) if self._counted is None else self._counted(sample).tolist()
        for name, values in measures.items():
            self._sums[name] = self._sums.get(name, 0.0) + sum(compress(values.tolist(), kept))
        self._images += sum(kept)

    def compute(self) -> dict[str, float]:
        """Return the means.

        Raises:
            ValueError: If no image was added that can be measured.
        """
        if self._images == 0:
            raise ValueError(
                "Expected at least one image to measure, but got none. Use a split with examples whose targets are "
                "known in some pixels."
            )
        return {name: total / self._images for name, total in self._sums.items()}


class Confusion:
    """A confusion matrix over a whole split: rows are true classes, columns predicted ones; void pixels are left out.

    Args:
        classes: Number of classes, at most 255.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._matrix = torch.zeros(classes, classes, dtype=torch.int64)

    def update(self, predicted: Tensor, label: Tensor) -> None:
        """Add predicted and true class indices, both ``(N, H, W)`` int64; predictions of void pixels are ignored."""
        known = label != VOID
        pairs = self._classes * label[known] + predicted[known]
        self._matrix += torch.bincount(pairs, minlength=self._classes**2).view_as(self._matrix).cpu()

    def mean_iou(self) -> float:
        """Return the mean intersection over union in percent.

        A class in neither predictions nor labels is left out; one that is predicted but in no label counts as 0.

        Raises:
            ValueError: If no labelled pixel was added.
        """
        self._check()
        both = self._matrix.diag()
        either = self._matrix.sum(0) + self._matrix.sum(1) - both
        return 100 * float((both[either > 0].double() / either[either > 0]).mean())

    def accuracy(self) -> float:
        """Return the share of labelled pixels with the correct class, in percent.

        Raises:
            ValueError: If no labelled pixel was added.
        """
        self._check()
        return 100 * int(self._matrix.diag().sum()) / int(self._matrix.sum())

    def _check(self) -> None:
        if not self._matrix.any():
            raise ValueError(
                "Expected at least one labelled pixel to measure, but got none. "
                "Use a split with examples whose labels are not all void."
            )


class BoundaryF1:
    """F1 of boundary pixels with a tolerance, over a whole split.

    Precision is the share of predicted boundary pixels with a true one within `tolerance` pixels (Euclidean, on the
    same image), recall the share of true boundary pixels with a predicted one within that distance, and F1 their
    harmonic mean. Lines are neither thinned nor matched one to one, so this is not the benchmark F of Martin et al.
    2004: a predicted line as wide as the tolerance is not penalised. A split without any boundary, predicted or true,
    scores 100.

    Args:
        tolerance: Largest distance in pixels that counts as a match, at least 0.
    """

    def __init__(self, tolerance: int) -> None:
        self._tolerance = tolerance
        self._near_true = 0
        self._predicted = 0
        self._near_predicted = 0
        self._true = 0

    def update(self, predicted: Tensor, true: Tensor, labelled: Tensor) -> None:
        """Add boundary maps.

        Args:
            predicted: ``(N, H, W)`` bool, true on predicted boundaries.
            true: ``(N, H, W)`` bool, true on true boundaries.
            labelled: ``(N, H, W)`` bool, false on void pixels, whose predictions are ignored.
        """
        predicted = predicted & labelled
        self._near_true += int((predicted & within(true, self._tolerance)).sum())
        self._predicted += int(predicted.sum())
        self._near_predicted += int((true & within(predicted, self._tolerance)).sum())
        self._true += int(true.sum())

    def compute(self) -> float:
        """Return F1 in percent."""
        if self._predicted == 0 and self._true == 0:
            return 100.0
        if self._near_true == 0 or self._near_predicted == 0:
            return 0.0
        precision, recall = self._near_true / self._predicted, self._near_predicted / self._true
        return 100 * 2 * precision * recall / (precision + recall)


def within(marked: Tensor, distance: int) -> Tensor:
    """Return where a marked pixel is at most `distance` pixels away (Euclidean); both maps are bool ``(N, H, W)``."""
    reach = torch.arange(-distance, distance + 1, device=marked.device)
    disk = (reach[:, None].square() + reach.square() <= distance**2).float()
    with torch.autocast(marked.device.type, enabled=False):
        counts = F.conv2d(marked[:, None].float(), disk[None, None], padding=distance)
    return counts[:, 0] > 0.5
