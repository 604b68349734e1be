"""Where the scores of real masks start."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from stencilnet.masks.binarize import INITIAL, THRESHOLD
from stencilnet.masks.packing import BitMask

Start = Literal["constant", "uniform", "weight"]


def starting_scores(weights: Mapping[str, Tensor], start: Start, scale: float, seed: int) -> dict[str, Tensor]:
    """Return where scores start, float32, by key (the original's ``mask_init``; Mallya et al. 2018, Sec. 3).

    Args:
        weights: The masked weights by key, on the CPU.
        start: ``constant``: `scale`. ``uniform``: drawn from -`scale` to `scale`. ``weight``: as far above the
            threshold as the layer's mean absolute weight, since gradients are of the weights' size. The original starts
            at that mean itself, which switches off whole layers whose mean is below the threshold.
        scale: See `start`; ``weight`` needs none.
        seed: Of what is drawn.
    """
    generator = torch.Generator().manual_seed(seed)

    def scores(weight: Tensor) -> Tensor:
        match start:
            case "constant":
                return torch.full(weight.shape, scale)
            case "uniform":
                return torch.empty(weight.shape).uniform_(-scale, scale, generator=generator)
            case "weight":
                return torch.full(weight.shape, THRESHOLD + float(weight.detach().float().abs().mean()))

    return {name: scores(weight) for name, weight in weights.items()}


def mirrored(scores: Tensor, up: Tensor) -> Tensor:
    """Put scores as far below the threshold as they are above it, wherever `up` is false.

    Args:
        scores: Float32, above the threshold.
        up: Bool, of their shape.
    """
    return torch.where(up, scores, 2 * THRESHOLD - scores)


def warm_scores(masks: Mapping[str, BitMask]) -> dict[str, Tensor]:
    """Return scores that start from another task's bits, float32, on the CPU, by key.

    Where a bit is one, a score starts as the paper's do; where it is zero, as far below the threshold as these are
    above it.

    Args:
        masks: The other task's, by key.
    """
    one, zero = torch.tensor(INITIAL), torch.tensor(2 * THRESHOLD - INITIAL)
    return {name: torch.where(mask.unpack().cpu(), one, zero) for name, mask in masks.items()}
