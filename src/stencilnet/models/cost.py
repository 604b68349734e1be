"""What running a network costs, counted rather than timed."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(module: nn.Module, side: int = 256) -> int:
    """Return how many multiplications, each with its addition, one picture takes: those of convolutions and matrices.

    Nothing is computed: shapes alone pass through a copy without memory.

    Args:
        module: A task's plain module; stays as it is.
        side: Of the picture ``(3, side, side)``, in px.
    """
    empty = copy.deepcopy(module).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        empty(torch.empty(1, 3, side, side, device="meta"))
    return int(counter.get_total_flops()) // 2  # it counts both
