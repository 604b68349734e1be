"""The cost of running a network, counted rather than timed."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(module: nn.Module, side: int = 256) -> int:
    """Return the number of multiply-adds for one picture, in convolutions and matrix products.

    Nothing is computed: a copy on the meta device propagates shapes only.

    Args:
        module: A task's plain module; it is not changed.
        side: Side of the picture ``(3, side, side)`` in pixels; 256 by default.
    """
    empty = copy.deepcopy(module).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        empty(torch.empty(1, 3, side, side, device="meta"))
    return int(counter.get_total_flops()) // 2  # the counter counts both
