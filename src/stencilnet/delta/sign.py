"""Sign deltas: each shared weight moves up or down by its channel's step size (after BitDelta, Liu et al. 2024)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from stencilnet.delta.entries import Entry, shared_weight, stored_bits
from stencilnet.delta.packing import BitMask
from stencilnet.delta.quantized import moved
from stencilnet.delta.spec import Array


@dataclass(frozen=True, eq=False)
class Sign(Entry):
    """The task adds a step to the shared weights whose bit is one, and subtracts it from the others.

    ``W + scale * (2 bits - 1)``. BitDelta takes the signs and one scale per matrix from a full fine-tune; a scale
    per output channel is ours. No bit leaves a weight as it is, so there are no weight codes. No method learns such
    entries any more; bundles may hold them.

    Attributes:
        bits: Mask of the weights that move up.
        scale: Step sizes, float32, of the weight's shape with size 1 in every dimension but the output channels'.
    """

    KIND: ClassVar[str] = "sign"
    PLANES: ClassVar[tuple[str, ...]] = ("bits",)
    bits: BitMask
    scale: Array

    def __post_init__(self) -> None:
        shape, scale = self.bits.shape, self.scale
        wide = [place for place, side in enumerate(scale.shape) if side != 1]
        fits = scale.ndim == len(shape) and len(wide) <= 1 and all(scale.shape[i] == shape[i] for i in wide)
        if scale.dtype != np.float32 or not fits:
            raise ValueError(
                f"Expected the scale of a {tuple(shape)} weight to be float32, its shape 1 in every dimension but one, "
                f"but got {scale.dtype} of shape {scale.shape}."
            )

    def apply(self, weight: Array | None) -> Array:
        """Return the moved weights, in the shared weight's dtype.

        Raises:
            ValueError: If the shared net has no weight to move, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to move")
        return moved(given, np.where(self.bits.unpack(), self.scale, -self.scale))

    def tensors(self) -> dict[str, Array]:
        """Return the packed bits under the part name ``bits``, and the steps under ``scale``."""
        return {"bits": self.bits.packed, "scale": self.scale}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Self:
        """Rebuild from packed bits and steps.

        Raises:
            ValueError: If they do not fit the shape.
        """
        return cls(stored_bits(tensors["bits"], shape), tensors["scale"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the moved weight."""
        return self.bits.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits and the steps."""
        return self.bits.nbytes + self.scale.nbytes
