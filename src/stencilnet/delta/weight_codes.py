"""Codes of what a task does to each shared weight, one small integer each; tasks of one kind are compared by them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class WeightCodes:
    """One small integer per shared weight of a layer.

    Attributes:
        kind: The entry's kind; the same code means something else in another kind.
        neutral: The code that leaves a weight unchanged.
        shape: Shape of the weight.
        read: Returns the codes, int8 of that shape, read-only. Packed codes are unpacked at each call, so that many
            tasks take no more memory than their packed form.
    """

    kind: str
    neutral: int
    shape: tuple[int, ...]
    read: Callable[[], npt.NDArray[np.int8]]

    @property
    def numel(self) -> int:
        """Number of weights."""
        return prod(self.shape)
