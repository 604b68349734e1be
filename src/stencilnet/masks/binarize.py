"""From a real mask to a binary one, with the straight-through gradient (Mallya et al. 2018; the paper, Sec. 3)."""

from typing import Any

import torch
from torch import Tensor

INITIAL = 1e-2
"""Initial value of every real mask score (the paper, Sec. 3)."""

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
    # A custom Function saves one tensor (W) and avoids the additions of the `hard + soft - soft.detach()` form.
    @staticmethod
    def forward(ctx: Any, weight: Tensor, real: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return torch.where(binarize(real), weight, torch.zeros((), dtype=weight.dtype, device=weight.device))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (weight,) = ctx.saved_tensors
        return None, gradients[0] * weight


def select(weight: Tensor, real: Tensor) -> Tensor:
    """Effective weights ``where(binarize(real), weight, 0)``, differentiable in ``real`` only.

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


class _Through(torch.autograd.Function):
    # Returns an alias of cached weights. It shares their version counter, so autograd notices if they are overwritten.
    @staticmethod
    def forward(ctx: Any, weight: Tensor, _real: Tensor, selected: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return selected.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        (weight,) = ctx.saved_tensors
        return None, gradients[0] * weight, None


class Selection:
    """`select` of one weight, cached, and computed again only after the weight or its mask has changed.

    Autograd's version counters detect changes. Code that bypasses them (PyTorch's fused optimisers, writes to
    ``tensor.data``) must call `torch.autograd.graph.increment_version`. Copies of a selection, by `copy` or `pickle`,
    start with an empty cache.
    """

    def __init__(self) -> None:
        self._selected: Tensor | None = None
        self._of: object = None

    def __reduce__(self) -> tuple[type["Selection"], tuple[()]]:
        return Selection, ()

    def __call__(self, weight: Tensor, real: Tensor) -> Tensor:
        """Return the result of `select`, bit for bit (unless a score is NaN), valid until the next change.

        Running a graph backward after such a change is an error: autograd raises RuntimeError.
        """
        if torch.compiler.is_compiling():  # the graph has its own memory, and selects in the pass that needs it
            return select(weight, real)
        selected = self._current(weight, real)
        if torch.is_grad_enabled() and real.requires_grad:
            through: Tensor = _Through.apply(weight, real, selected)
            return through
        return selected.detach()

    def _current(self, weight: Tensor, real: Tensor) -> Tensor:
        of = (_mark(weight), _mark(real))
        if self._selected is None or of != self._of:
            self._of = None  # in case writing is interrupted
            self._selected = _written(weight, real, self._selected)
            self._of = of
        return self._selected


def _mark(tensor: Tensor) -> tuple[int, int, torch.device, torch.dtype, torch.Size]:
    return tensor.data_ptr(), tensor._version, tensor.device, tensor.dtype, tensor.shape


def _form(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


@torch.inference_mode(False)
@torch.no_grad()
def _written(weight: Tensor, real: Tensor, into: Tensor | None) -> Tensor:
    """Write the selected weights into `into` if it fits, else into new memory."""
    if into is None or _form(into) != _form(weight):
        into = torch.empty_like(weight, requires_grad=False)
    if weight.dtype == real.dtype:
        # A ReLU's gradient, which is `where(real > threshold, weight, 0)` in one pass: four times as fast on a CPU.
        torch.ops.aten.threshold_backward.grad_input(weight, real, THRESHOLD, grad_input=into)
    else:
        into.copy_(torch.where(binarize(real), weight, torch.zeros((), dtype=weight.dtype, device=weight.device)))
    return into
