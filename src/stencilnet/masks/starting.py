"""Where the scores of a mask start, if not all at one place as in the paper."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stencilnet.masks.binarize import INITIAL, THRESHOLD
from stencilnet.masks.packing import BitMask


def warm_scores(masks: Mapping[str, BitMask]) -> dict[str, Tensor]:
    """Return scores that start from another task's bits, float32, on the CPU, by key.

    Where a bit is one, a score starts as the paper's do; where it is zero, as far below the threshold as these are
    above it.

    Args:
        masks: The other task's, by key.
    """
    one, zero = torch.tensor(INITIAL), torch.tensor(2 * THRESHOLD - INITIAL)
    return {name: torch.where(mask.unpack().cpu(), one, zero) for name, mask in masks.items()}


def scores_by_weight(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return scores whose distance from the threshold follows the size of their weights, float32, on the CPU, by key.

    The distance is the paper's for a weight of its layer's mean absolute value. Adam moves every score about as fast as
    any other, so that small weights are switched off first, and a large one only if its gradients stay with it.

    Args:
        weights: The masked weights by key.
    """
    return {name: THRESHOLD + (INITIAL - THRESHOLD) * _relative(weight) for name, weight in weights.items()}


def _relative(weight: Tensor) -> Tensor:
    sizes = weight.detach().float().abs().cpu()
    return sizes / sizes.mean().clamp(min=torch.finfo(sizes.dtype).tiny)
