"""Initial scores of a mask, other than the paper's single value for all."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stencilnet.delta import BitMask
from stencilnet.masks.arrays import tensor_of
from stencilnet.masks.binarize import INITIAL, THRESHOLD


def warm_scores(masks: Mapping[str, BitMask]) -> dict[str, Tensor]:
    """Return initial scores from another task's bits, float32, on the CPU, by key.

    A score starts at the paper's value where the bit is one, and equally far below the threshold where it is zero.

    Args:
        masks: The other task's masks, by key.
    """
    one, zero = torch.tensor(INITIAL), torch.tensor(2 * THRESHOLD - INITIAL)
    return {name: torch.where(tensor_of(mask.unpack()), one, zero) for name, mask in masks.items()}


def scores_by_weight(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return initial scores above the threshold in proportion to their weights' sizes, float32, on the CPU, by key.

    The distance is the paper's for a weight of its layer's mean absolute value. Adam moves all scores at about the same
    speed, so small weights are switched off first, and large ones only if their gradients persist.

    Args:
        weights: The masked weights by key.
    """
    return {name: THRESHOLD + (INITIAL - THRESHOLD) * _relative(weight) for name, weight in weights.items()}


def _relative(weight: Tensor) -> Tensor:
    sizes = weight.detach().float().abs().cpu()
    return sizes / sizes.mean().clamp(min=torch.finfo(sizes.dtype).tiny)
