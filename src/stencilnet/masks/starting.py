"""Where the scores of a mask start that begins as another task's."""

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
