"""The trivial baseline of tasks whose answer depends on the place in the picture: the mean of the training targets."""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from stencilnet.tasks.task import Predictor, Sample

_GRID = 16


def mean_map(training: Iterable[Sample]) -> Predictor:
    """Answer with the mean of the training targets at each place, on a grid of 16x16, whatever the input.

    Args:
        training: Unbatched, prepared samples with a ``target`` ``(C, H, W)``.

    Raises:
        ValueError: If there is none.
    """
    total: Tensor | None = None
    count = 0
    for count, sample in enumerate(training, 1):  # noqa: B007 (the last one is the number of samples)
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
