"""The trivial baseline of tasks whose targets depend on the position in the picture: the mean training target."""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from stencilnet.tasks.task import Predictor, Sample

_GRID = 16


def mean_map(training: Iterable[Sample]) -> Predictor:
    """Fit a predictor of the mean training target at each position, on a 16x16 grid, whatever the input.

    Args:
        training: Unbatched, prepared samples with a ``target`` ``(C, H, W)``.

    Raises:
        ValueError: If there are no samples.
    """
    total: Tensor | None = None
    count = 0
    for count, sample in enumerate(training, 1):  # noqa: B007 (its last value is the number of samples)
        grid = F.adaptive_avg_pool2d(sample["target"], _GRID)
        total = grid if total is None else total + grid
    if total is None:
        raise ValueError("Expected training examples to fit the trivial baseline to, but got none.")
    mean = total / count

    def predict(sample: Sample) -> Tensor:
        images = sample["input"]
        whole = F.interpolate(mean[None].to(images.device), images.shape[-2:], mode="bilinear")
        return whole.expand(len(images), -1, -1, -1).contiguous()

    return predict
