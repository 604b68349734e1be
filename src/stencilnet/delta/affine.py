"""Affine masks: a layer's weights, its mask and their product, mixed by four numbers (Mancini et al. 2018, Eq. 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from stencilnet.delta.entries import Entry, selected, shared_weight, stored_bits
from stencilnet.delta.packing import BitMask
from stencilnet.delta.spec import Array


@dataclass(frozen=True, eq=False)
class Affine(Entry):
    """The task's weight is ``k0 W + k1 + k2 M + k3 W M``, with a binary mask M and four numbers k.

    With k = (0, 0, 0, 1) the mask selects, as in Piggyback; with k = (1, 0, 0, 0) it has no effect.
    What a bit does depends on k, so there are no weight codes, and no weight counts as switched off. Weights of fewer
    bits are mixed in float32 and then rounded. No method learns such entries any more; bundles may
    hold them.

    Attributes:
        bits: The mask M.
        k: The numbers, ``(4,)`` float32.
    """

    KIND: ClassVar[str] = "affine"
    PLANES: ClassVar[tuple[str, ...]] = ("bits",)
    bits: BitMask
    k: Array

    def __post_init__(self) -> None:
        if self.k.dtype != np.float32 or self.k.shape != (4,):
            raise ValueError(
                f"Expected the numbers `k` of an affine mask to be float32 of shape (4,), "
                f"but got {self.k.dtype} of shape {self.k.shape}."
            )

    @np.errstate(all="ignore")
    def apply(self, weight: Array | None) -> Array:
        """Return the mixed weights.

        Raises:
            ValueError: If the shared net has no weight to mix, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to mix")
        wide = given.astype(np.promote_types(given.dtype, np.float32))
        k, bits, kept = self.k, self.bits.unpack(), selected(wide, self.bits)
        return np.asarray(k[0] * wide + k[1] + k[2] * bits + k[3] * kept, given.dtype)

    def tensors(self) -> dict[str, Array]:
        """Return the packed bits under the part name ``bits``, and the numbers under ``k``."""
        return {"bits": self.bits.packed, "k": self.k}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Self:
        """Rebuild from packed bits and numbers.

        Raises:
            ValueError: If they do not fit the shape, or are not four numbers.
        """
        return cls(stored_bits(tensors["bits"], shape), tensors["k"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the mixed weight."""
        return self.bits.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits and the numbers."""
        return self.bits.nbytes + self.k.nbytes
