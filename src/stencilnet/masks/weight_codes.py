"""What tasks of one kind are compared by: what each says about a shared weight, as one small integer."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class WeightCodes:
    """A small integer for each of a layer's shared weights.

    Attributes:
        kind: The entry's kind; the same code means something else in another.
        neutral: The code that leaves its weight as it is.
        shape: Shape of the weight.
        read: Returns the codes, int8 of that shape, not to be written to. What is stored packed is unpacked anew at
            each call, so that many tasks take no more memory than they are stored in.
    """

    kind: str
    neutral: int
    shape: torch.Size
    read: Callable[[], Tensor]

    @property
    def numel(self) -> int:
        """Number of weights."""
        return prod(self.shape)
