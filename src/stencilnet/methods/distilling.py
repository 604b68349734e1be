"""Distillation losses: the distance of a network's outputs from a teacher's."""

from torch import Tensor
from torch.nn.functional import mse_loss

TEMPERATURE = 2.0
"""Temperature of the softmax for comparing logits (Li and Hoiem 2016, Sec. 3)."""


def distance(given: Tensor, wanted: Tensor, *, logits: bool) -> Tensor:
    """Return the `divergence` of logits, or the mean squared error of other values.

    Args:
        given: Raw outputs ``(N, C, ...)``.
        wanted: The teacher's outputs, of the same shape.
        logits: Whether the outputs are logits of classes, along dimension 1.
    """
    return divergence(given, wanted) if logits else mse_loss(given, wanted)


def divergence(given: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of the softmaxes at `TEMPERATURE` T, times T^2.

    It is summed over dimension 1 and averaged over the others.

    Args:
        given: Logits ``(N, C, ...)``.
        wanted: The teacher's logits, of the same shape.
    """
    ours, theirs = ((logits / TEMPERATURE).log_softmax(dim=1) for logits in (given, wanted))
    return TEMPERATURE**2 * (theirs.exp() * (theirs - ours)).sum(dim=1).mean()
