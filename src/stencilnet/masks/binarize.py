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


class _Through(torch.autograd.Function):
    # Hands on what was selected before. Autograd sees writing over it, since an alias shares its version.
    @staticmethod
    def forward(ctx: Any, weight: Tensor, _real: Tensor, selected: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return selected.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        (weight,) = ctx.saved_tensors
        return None, gradients[0] * weight, None


class Selection:
    """`select` of one weight into memory that is kept, and anew only after a change of the weight or its mask.

    Changes are seen by autograd's version counters. What writes past them has to tell
    (`torch.autograd.graph.increment_version`): PyTorch's fused optimisers, and whatever writes to ``tensor.data``.
    Copies of a selection, by `copy` or `pickle`, start without its memory.
    """

    def __init__(self) -> None:
        self._selected: Tensor | None = None
        self._of: object = None

    def __reduce__(self) -> tuple[type["Selection"], tuple[()]]:
        return Selection, ()

    def __call__(self, weight: Tensor, real: Tensor) -> Tensor:
        """Return what `select` does, bit for bit (but where a score is no number), until the next change.

        A graph that is still held when a change is written cannot be run backwards any more: autograd raises
        RuntimeError.
        """
        if torch.compiler.is_compiling():  # the graph has memory of its own, and selects in the pass that needs it
            return select(weight, real)
        selected = self._current(weight, real)
        if torch.is_grad_enabled() and real.requires_grad:
            through: Tensor = _Through.apply(weight, real, selected)
            return through
        return selected.detach()

    def _current(self, weight: Tensor, real: Tensor) -> Tensor:
        of = (_mark(weight), _mark(real))
        if self._selected is None or of != self._of:
            self._of = None  # should writing be interrupted
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
    """Write the selected weights into memory of before, if it fits."""
    if into is None or _form(into) != _form(weight):
        into = torch.empty_like(weight, requires_grad=False)
    if weight.dtype == real.dtype:
        # A ReLU's gradient, which is `where(real > threshold, weight, 0)` in one pass: four times as fast on a CPU.
        torch.ops.aten.threshold_backward.grad_input(weight, real, THRESHOLD, grad_input=into)
    else:
        into.copy_(torch.where(binarize(real), weight, torch.zeros((), dtype=weight.dtype, device=weight.device)))
    return into
