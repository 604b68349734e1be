"""Gradients of real masks, freed of the weights' size (the original's ``mask_scale_gradients``; Mallya et al. 2018)."""

from typing import Any, Literal

import torch
from torch import Tensor

Scaling = Literal["none", "average", "individual"]


class _Divide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, real: Tensor, size: Tensor) -> Tensor:
        ctx.save_for_backward(size)
        return real.view_as(real)  # an alias: what is selected by it is known to be current by its version

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (size,) = ctx.saved_tensors
        tiny = torch.finfo(size.dtype).tiny
        return torch.where(size < tiny, gradients[0].new_zeros(()), gradients[0] / size.clamp(min=tiny)), None


def scaled(real: Tensor, weight: Tensor, scaling: Scaling) -> Tensor:
    """Return scores as they are; their gradient is divided by the layer's mean ``|W|``, or each by its own ``|W|``.

    A score's gradient is the weight's times W, so that scores of small weights hardly move under plain SGD. Where W is
    0, so is the gradient; dividing by it would not be a number.

    Args:
        real: Real mask, float32.
        weight: Its weight.
        scaling: ``none``, ``average`` or ``individual``.
    """
    if scaling == "none":
        return real
    size = weight.detach().abs().to(real.dtype)
    divided: Tensor = _Divide.apply(real, size.mean() if scaling == "average" else size)
    return divided
