"""Ternary masks: each shared weight is kept, switched off or negated (Mallya et al. 2018, Sec. 3 and 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from stencilnet.delta.entries import Entry, selected, shared_weight, stored_bits
from stencilnet.delta.packing import BitMask
from stencilnet.delta.spec import Array
from stencilnet.delta.weight_codes import WeightCodes


@dataclass(frozen=True, eq=False)
class Ternary(Entry):
    """The task multiplies each shared weight by 1, 0 or -1.

    No method learns such entries any more; bundles may hold them.

    Attributes:
        keep: Mask of the weights that are not switched off.
        flip: Mask of those among them that are negated.
    """

    KIND: ClassVar[str] = "ternary"
    PLANES: ClassVar[tuple[str, ...]] = ("keep", "flip")
    keep: BitMask
    flip: BitMask

    def __post_init__(self) -> None:
        keep, flip = self.keep, self.flip
        if keep.shape != flip.shape or bool((flip.packed & ~keep.packed).any()):
            raise ValueError(
                f"Expected `flip` to hold only bits of `keep`, of shape {tuple(keep.shape)}, but it is of "
                f"shape {tuple(flip.shape)}, or has other bits."
            )

    def apply(self, weight: Array | None) -> Array:
        """Return the kept weights, negated where `flip` is set, and 0 elsewhere.

        Raises:
            ValueError: If the shared net has no weight to select from, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to select from")
        return selected(np.where(self.flip.unpack(), -given, given), self.keep)

    def tensors(self) -> dict[str, Array]:
        """Return the packed bits under the part names ``keep`` and ``flip``."""
        return {"keep": self.keep.packed, "flip": self.flip.packed}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Self:
        """Rebuild from packed bits.

        Raises:
            ValueError: If they do not fit the shape or each other.
        """
        return cls(stored_bits(tensors["keep"], shape), stored_bits(tensors["flip"], shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the masked weight."""
        return self.keep.shape

    @property
    def kept(self) -> BitMask | None:
        """Mask of the weights that are not switched off, whatever their sign."""
        return self.keep

    @property
    def weight_codes(self) -> WeightCodes | None:
        """The factors: 1 leaves a weight unchanged, 0 switches it off, -1 negates it."""
        return WeightCodes(self.KIND, 1, self.shape, self._factors)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits."""
        return self.keep.nbytes + self.flip.nbytes

    def _factors(self) -> Array:
        return self.keep.unpack().view(np.int8) - 2 * self.flip.unpack().view(np.int8)
