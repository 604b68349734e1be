"""How far a network's outputs are from those that it is to imitate."""

from torch import Tensor
from torch.nn.functional import mse_loss

TEMPERATURE = 2.0
"""Of the softmax by which logits are compared (Li and Hoiem 2016, Sec. 3)."""


def distance(given: Tensor, wanted: Tensor, *, logits: bool) -> Tensor:
    """Return the `divergence` of logits, the mean squared error of values.

    Args:
        given: Raw outputs ``(N, C, ...)``.
        wanted: The teacher's.
        logits: Whether they are logits of classes, along dimension 1.
    """
    return divergence(given, wanted) if logits else mse_loss(given, wanted)


def divergence(given: Tensor, wanted: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of the softmaxes, a mean over all but dimension 1, at and times T^2.

    Args:
        given: Logits ``(N, C, ...)``.
        wanted: The teacher's.
    """
    ours, theirs = ((logits / TEMPERATURE).log_softmax(dim=1) for logits in (given, wanted))
    return TEMPERATURE**2 * (theirs.exp() * (theirs - ours)).sum(dim=1).mean()
