"""From a real mask to a binary one, with the straight-through gradient (Mallya et al. 2018; the paper, Sec. 3)."""

from typing import Any

import torch
from torch import Tensor

INITIAL = 1e-2
"""Where every real mask score starts (the paper, Sec. 3)."""

THRESHOLD = 5e-3
"""A score strictly above this keeps its weight (the paper, Sec. 3)."""


def binarize(real: Tensor) -> Tensor:
    """Turn real mask scores into bits.

    Args:
        real: Scores of any shape, float.

    Returns:
        Bool tensor of the same shape, true where ``real > THRESHOLD`` (strictly).
    """
    return real > THRESHOLD


class _Select(torch.autograd.Function):
    # An own Function keeps one saved tensor (W) and skips the additions of the `hard + soft - soft.detach()` form.
    @staticmethod
    def forward(ctx: Any, weight: Tensor, real: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return torch.where(binarize(real), weight, torch.zeros((), dtype=weight.dtype, device=weight.device))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (weight,) = ctx.saved_tensors
        return None, gradients[0] * weight


def select(weight: Tensor, real: Tensor) -> Tensor:
    """Effective weights ``where(binarize(real), weight, 0)``, differentiable in ``real`` alone.

    The threshold passes gradients through unchanged, without clipping, so ``dL/dreal = dL/dW_eff * weight``
    (Mallya et al. 2018, Eq. 4). ``where``, not ``*``: a product would leave ``-0.0`` and turn ``inf * 0`` into NaN.

    Args:
        weight: Frozen weights, float.
        real: Real mask of the same shape, float32.

    Returns:
        Tensor of the same shape; ``weight`` gets no gradient.
    """
    effective: Tensor = _Select.apply(weight, real)
    return effective
