"""Sign deltas: every shared weight moved up or down by its channel's one step (after BitDelta, Liu et al. 2024)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from stencilnet.masks.binarize import binarize, hardened
from stencilnet.masks.entries import Entry, shared_weight, stored_bits, write_over
from stencilnet.masks.packing import BitMask
from stencilnet.masks.starting import mirrored
from stencilnet.masks.weight_codes import WeightCodes


@dataclass(frozen=True, eq=False)
class Sign:
    """The task adds a step to the shared weights whose bit is one, and subtracts it from the others.

    ``W + scale * (2 bits - 1)``. BitDelta takes the signs and one scale a matrix from a full fine-tune; a scale for
    each output channel, and training both directly, are ours.

    Attributes:
        bits: Which weights move up.
        scale: The steps, float32, of the weight's shape with 1 for every dimension but the output channels'.
    """

    KIND: ClassVar[str] = "sign"
    PLANES: ClassVar[tuple[str, ...]] = ("bits",)
    bits: BitMask
    scale: Tensor

    def __post_init__(self) -> None:
        shape, scale = self.bits.shape, self.scale
        wide = [place for place, side in enumerate(scale.shape) if side != 1]
        fits = scale.dim() == len(shape) and len(wide) <= 1 and all(scale.shape[i] == shape[i] for i in wide)
        if scale.dtype != torch.float32 or not fits:
            raise ValueError(
                f"Expected the scale of a {tuple(shape)} weight to be float32, its shape 1 in every dimension but one, "
                f"but got {scale.dtype} of shape {tuple(scale.shape)}."
            )

    def apply(self, weight: Tensor | None) -> Tensor:
        """Return the moved weights, in the shared weight's dtype.

        Raises:
            ValueError: If the shared net has no weight to move, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to move")
        scale = self.scale.to(given.device)
        return (given + torch.where(self.bits.to(given.device).unpack(), scale, -scale)).to(given.dtype)

    def write(self, weight: Tensor | None, out: Tensor) -> None:
        """Write the moved weights.

        Raises:
            ValueError: As `apply` does, or if `out` is unlike the shared weight.
        """
        write_over(out, self.apply(weight))

    def tensors(self) -> dict[str, Tensor]:
        """Return the packed bits under the part name ``bits``, and the steps under ``scale``."""
        return {"bits": self.bits.packed, "scale": self.scale}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> Self:
        """Rebuild from packed bits and steps.

        Raises:
            ValueError: If they do not fit the shape.
        """
        return cls(stored_bits(tensors["bits"], shape), tensors["scale"])

    @property
    def shape(self) -> torch.Size:
        """Shape of the moved weight."""
        return self.bits.shape

    @property
    def kept(self) -> BitMask | None:
        """None: nothing is switched off."""
        return None

    @property
    def weight_codes(self) -> WeightCodes | None:
        """None: no code leaves a weight as it is."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits and the steps."""
        return self.bits.nbytes + self.scale.nbytes


class Signs:
    """The form of a real mask whose bits are signs; scores on the threshold's lower side move a weight down.

    Scores start with the weights' own signs (`starting_signs`). The gradient passes the sign unchanged, so
    ``dL/dreal = dL/dW_task * scale``. Steps start at their layer's mean absolute weight, and are trained as
    multiples of it, so that a learning rate means the same for every layer. A step of that size can cancel or double a
    usual weight; starting at a tenth of it, nearer to the backbone, learned far more slowly where it was tried.

    With a fine-tune's change of the weight, a channel's step starts at the mean absolute change of its weights, which
    is nearest to the change for its signs (BitDelta, Sec. 3.1, a step a matrix), and all are trained as multiples of
    the layer's.

    Args:
        weight: The shared weight.
        channel: Its dimension of output channels: 1 of a transposed convolution, else 0.
        change: How a fine-tune has changed it.
    """

    selects: ClassVar[bool] = False

    def __init__(self, weight: Tensor, channel: int, change: Tensor | None = None) -> None:
        sizes = (weight if change is None else change).detach().float().abs()
        shape = [size if place == channel else 1 for place, size in enumerate(weight.shape)]
        steps = sizes.movedim(channel, 0).reshape(weight.shape[channel], -1).mean(dim=1).view(shape)
        self._unit = float(sizes.mean())
        self._steps = torch.ones_like(steps) if change is None or not self._unit else steps / self._unit

    def start(self) -> tuple[Tensor, ...]:
        """Return the steps, as multiples of the layer's mean absolute weight or change."""
        return (self._steps.cpu().clone(),)

    def __call__(self, weight: Tensor, real: Tensor, numbers: tuple[Tensor, ...]) -> Tensor:
        """Return the moved weights, differentiable in scores and steps."""
        return (weight + self._scale(numbers) * hardened(real, low=-1.0)).to(weight.dtype)

    def entry(self, real: Tensor, numbers: tuple[Tensor, ...]) -> Entry:
        """Return the signs and steps as they stand."""
        return Sign(BitMask.pack(binarize(real).cpu()), self._scale(numbers).detach().to("cpu", copy=True))

    def code(self, real: Tensor) -> Tensor:
        """Return the signs: true is up."""
        return binarize(real)

    def _scale(self, numbers: tuple[Tensor, ...]) -> Tensor:
        (steps,) = numbers
        return steps * self._unit


def starting_signs(scores: Tensor, weight: Tensor) -> Tensor:
    """Turn starting scores above the threshold into those of the weights' own signs: as far below it for negative ones.

    Every weight is then farther from zero, as if the layer's filters were scaled up, which normalisation takes back for
    the most part; signs drawn at random would be noise.
    """
    return mirrored(scores, weight >= 0)
