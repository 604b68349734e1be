"""A penalty on a mask's zeros, so that it has only useful ones and takes fewer bytes (ours)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.methods.penalty import NetworkFunction, Penalty


class ZeroPenalty(Penalty):
    """The price times the share of weights that a mask switches off.

    The bit of a weight is the selected weight divided by the shared one. The straight-through gradient of each score is
    thus the price divided by the number of weights, and pushes the bit to one. Weights that are 0 are left out, since
    either bit leaves them 0.

    Args:
        weights: The masked weights by state-dict key.
        price: Penalty of a mask that is all zeros.
    """

    name: ClassVar[str] = "zeros"

    def __init__(self, weights: Mapping[str, Tensor], *, price: float) -> None:
        super().__init__()
        self._price, self._names = price, tuple(weights)
        self._count = sum(weight.numel() for weight in weights.values())
        for position, weight in enumerate(weights.values()):
            self.register_buffer(f"weight_{position}", weight.detach())

    def settings(self) -> dict[str, float | str]:
        """Return the price."""
        return {"price": self._price}

    def forward(self, weights: Mapping[str, Tensor], images: Tensor, run: NetworkFunction) -> Tensor:  # noqa: ARG002 (of weights alone)
        """Return the penalty."""
        shared = dict(self.named_buffers(recurse=False))
        gone = []
        for position, name in enumerate(self._names):
            weight = shared[f"weight_{position}"]
            counts = weight != 0
            bits = weights[name] / torch.where(counts, weight, 1)
            gone.append(torch.where(counts, 1 - bits, 0).sum())
        return self._price * torch.stack(gone).sum() / self._count
