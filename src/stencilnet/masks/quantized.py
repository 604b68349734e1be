"""Quantised deltas: each shared weight moves by a multiple of its layer's step size (ours; see docs/paper.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from stencilnet.masks.entries import shared_weight, write_over
from stencilnet.masks.integers import decode_integers, encode_integers
from stencilnet.masks.packing import BitMask
from stencilnet.masks.weight_codes import WeightCodes


@dataclass(frozen=True, eq=False)
class Quantized:
    """The task adds a multiple of one step to each shared weight: ``W + step * code``.

    The product is computed in float32. So is the sum for a weight of fewer bits; it is then rounded to the weight's
    dtype. A code of 0 leaves its weight unchanged.

    Attributes:
        codes: int8, of the weight's shape, from -127 to 127; on the CPU.
        step: The step size, a finite float32 number ``()``.
    """

    KIND: ClassVar[str] = "quantized"
    PLANES: ClassVar[tuple[str, ...]] = ()
    codes: Tensor
    step: Tensor

    def __post_init__(self) -> None:
        if self.codes.dtype != torch.int8 or self.step.dtype != torch.float32 or self.step.dim():
            raise ValueError(
                f"Expected int8 codes and a float32 step of shape (), but got {self.codes.dtype} codes and a "
                f"{self.step.dtype} step of shape {tuple(self.step.shape)}."
            )
        if not self.step.isfinite():
            raise ValueError(f"Expected the step of the codes to be finite, but got {float(self.step)}.")

    def apply(self, weight: Tensor | None) -> Tensor:
        """Return the moved weights.

        Raises:
            ValueError: If the shared net has no weight to move, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to move")
        return moved(given, self.step.to(given.device) * self.codes.to(given.device))

    def write(self, weight: Tensor | None, out: Tensor) -> None:
        """Write the moved weights.

        Raises:
            ValueError: As for `apply`, or if `out` differs from the shared weight in shape, dtype or device.
        """
        write_over(out, self.apply(weight))

    def tensors(self) -> dict[str, Tensor]:
        """Return step and codes, entropy-coded, under the part name ``code``."""
        return {"code": self._coded}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> Self:
        """Rebuild from code words.

        Raises:
            ValueError: If they do not encode codes of this shape, or the step is not finite.
        """
        code = tensors["code"].numpy()
        if code.dtype != np.uint8 or code.ndim != 1 or code.size < _STEP_BYTES:
            raise ValueError(f"Expected code words as bytes, but got {code.dtype} of shape {code.shape}.")
        step = torch.from_numpy(code[:_STEP_BYTES].view("<f4").astype(np.float32)).reshape(())
        return cls(torch.from_numpy(decode_integers(code[_STEP_BYTES:], tuple(shape))), step)

    @property
    def shape(self) -> torch.Size:
        """Shape of the moved weight."""
        return self.codes.shape

    @property
    def kept(self) -> BitMask | None:
        """None: a weight whose code is 0 is kept, and the others are not switched off."""
        return None

    @property
    def weight_codes(self) -> WeightCodes | None:
        """The codes: 0 keeps a weight as it is."""
        return WeightCodes(self.KIND, 0, self.shape, lambda: self.codes)

    @property
    def nbytes(self) -> int:
        """Bytes of step and codes, entropy-coded."""
        return self._coded.numel()

    @cached_property
    def _coded(self) -> Tensor:
        step = np.array([self.step.item()], "<f4").view(np.uint8)
        return torch.from_numpy(np.concatenate([step, encode_integers(self.codes.numpy())]))


_STEP_BYTES = 4


def moved(weight: Tensor, change: Tensor) -> Tensor:
    """Return the sum of a weight and a float32 change, computed in float32 and rounded if the weight has fewer bits.

    Args:
        weight: Weight of any float dtype.
        change: float32 change of its shape.
    """
    if weight.element_size() < change.element_size():
        return (weight.to(change.dtype) + change).to(weight.dtype)
    return weight + change.to(weight.dtype)
