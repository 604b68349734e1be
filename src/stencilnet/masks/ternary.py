"""Ternary masks: every shared weight kept, switched off, or turned over (Mallya et al. 2018, Sec. 3 and 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from stencilnet.masks.entries import shared_weight, stored_bits, write_over
from stencilnet.masks.packing import BitMask
from stencilnet.masks.weight_codes import WeightCodes


@dataclass(frozen=True, eq=False)
class Ternary:
    """The task multiplies each shared weight by 1, 0 or -1.

    No method learns such entries any more; bundles may hold them.

    Attributes:
        keep: Which weights are not switched off.
        flip: Which of these change their sign.
    """

    KIND: ClassVar[str] = "ternary"
    PLANES: ClassVar[tuple[str, ...]] = ("keep", "flip")
    keep: BitMask
    flip: BitMask

    def __post_init__(self) -> None:
        keep, flip = self.keep, self.flip
        if keep.shape != flip.shape or bool((flip.packed & ~keep.packed).any()):
            raise ValueError(
                f"Expected `flip` to turn over some of the {tuple(keep.shape)} weights that `keep` keeps, but it is of "
                f"shape {tuple(flip.shape)}, or has others."
            )

    def apply(self, weight: Tensor | None) -> Tensor:
        """Return the weights, those kept with the sign they get.

        Raises:
            ValueError: If the shared net has no weight to select from, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to select from")
        keep, flip = (bits.to(given.device).unpack() for bits in (self.keep, self.flip))
        return torch.where(keep, torch.where(flip, -given, given), given.new_zeros(()))

    def write(self, weight: Tensor | None, out: Tensor) -> None:
        """Write the weights.

        Raises:
            ValueError: As `apply` does, or if `out` is unlike the shared weight.
        """
        write_over(out, self.apply(weight))

    def tensors(self) -> dict[str, Tensor]:
        """Return the packed bits under the part names ``keep`` and ``flip``."""
        return {"keep": self.keep.packed, "flip": self.flip.packed}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> Self:
        """Rebuild from packed bits.

        Raises:
            ValueError: If they do not fit the shape or each other.
        """
        return cls(stored_bits(tensors["keep"], shape), stored_bits(tensors["flip"], shape))

    @property
    def shape(self) -> torch.Size:
        """Shape of the masked weight."""
        return self.keep.shape

    @property
    def kept(self) -> BitMask | None:
        """The weights that are not switched off, whichever sign they have."""
        return self.keep

    @property
    def weight_codes(self) -> WeightCodes | None:
        """The factors: 1 keeps a weight as it is, 0 switches it off, -1 turns it over."""
        return WeightCodes(self.KIND, 1, self.shape, self._factors)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits."""
        return self.keep.nbytes + self.flip.nbytes

    def _factors(self) -> Tensor:
        return self.keep.unpack().to(torch.int8) - 2 * self.flip.unpack().to(torch.int8)
