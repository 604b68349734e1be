"""Quantised deltas: each shared weight moves by a multiple of its layer's step size (ours; see docs/paper.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from stencilnet.delta.entries import Entry, shared_weight
from stencilnet.delta.integers import decode_integers, encode_integers
from stencilnet.delta.spec import Array
from stencilnet.delta.weight_codes import WeightCodes


@dataclass(frozen=True, eq=False)
class Quantized(Entry):
    """The task adds a multiple of one step to each shared weight: ``W + step * code``.

    The product is computed in float32. So is the sum for a weight of fewer bits; it is then rounded to the weight's
    dtype. A code of 0 leaves its weight unchanged.

    Attributes:
        codes: int8, of the weight's shape, from -127 to 127.
        step: The step size, a finite float32 number ``()``.
    """

    KIND: ClassVar[str] = "quantized"
    PLANES: ClassVar[tuple[str, ...]] = ()
    codes: Array
    step: Array

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int8 or self.step.dtype != np.float32 or self.step.ndim:
            raise ValueError(
                f"Expected int8 codes and a float32 step of shape (), but got {self.codes.dtype} codes and a "
                f"{self.step.dtype} step of shape {tuple(self.step.shape)}."
            )
        if not np.isfinite(self.step):
            raise ValueError(f"Expected the step of the codes to be finite, but got {float(self.step)}.")

    def apply(self, weight: Array | None) -> Array:
        """Return the moved weights.

        Raises:
            ValueError: If the shared net has no weight to move, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to move")
        return moved(given, self.step * self.codes)

    def tensors(self) -> dict[str, Array]:
        """Return step and codes, entropy-coded, under the part name ``code``."""
        return {"code": self._coded}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Self:
        """Rebuild from code words.

        Raises:
            ValueError: If they do not encode codes of this shape, or the step is not finite.
        """
        code = tensors["code"]
        if code.dtype != np.uint8 or code.ndim != 1 or code.size < _STEP_BYTES:
            raise ValueError(f"Expected code words as bytes, but got {code.dtype} of shape {code.shape}.")
        step = code[:_STEP_BYTES].view("<f4").astype(np.float32).reshape(())
        return cls(decode_integers(code[_STEP_BYTES:], shape), step)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the moved weight."""
        return self.codes.shape

    @property
    def weight_codes(self) -> WeightCodes | None:
        """The codes: 0 keeps a weight as it is."""
        return WeightCodes(self.KIND, 0, self.shape, lambda: self.codes)

    @property
    def nbytes(self) -> int:
        """Bytes of step and codes, entropy-coded."""
        return self._coded.nbytes

    @cached_property
    def _coded(self) -> Array:
        step = np.array([self.step], "<f4").view(np.uint8)
        return np.concatenate([step, encode_integers(self.codes)])


_STEP_BYTES = 4


@np.errstate(all="ignore")
def moved(weight: Array, change: Array) -> Array:
    """Return the sum of a weight and a float32 change, computed in float32 and rounded if the weight has fewer bits.

    Args:
        weight: Weight of any float dtype.
        change: float32 change of its shape, or of one that NumPy broadcasts to it.
    """
    return np.asarray(weight + change, weight.dtype)
