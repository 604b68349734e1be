"""True one-bit storage of a binary mask."""

from dataclasses import dataclass
from math import prod
from typing import Self

import torch
from torch import Tensor

_BYTE = 8


def _powers(device: torch.device) -> Tensor:
    return torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=device)


@dataclass(frozen=True, eq=False)
class BitMask:
    """A binary mask at one bit per weight, least significant bit first; unused bits of the last byte are zero.

    Attributes:
        packed: ``(ceil(n / 8),)`` uint8, where n is the number of weights.
        shape: Shape of the weight that the mask belongs to.
    """

    packed: Tensor
    shape: torch.Size

    def __post_init__(self) -> None:
        expected = -(-prod(self.shape) // _BYTE)
        if self.packed.dtype != torch.uint8 or tuple(self.packed.shape) != (expected,):
            raise ValueError(
                f"Expected the packed bits of a {tuple(self.shape)} mask to be uint8 of shape ({expected},), "
                f"but got {self.packed.dtype} of shape {tuple(self.packed.shape)}. Make masks with BitMask.pack."
            )

    @classmethod
    def pack(cls, bits: Tensor) -> Self:
        """Pack a bool tensor of any shape.

        Raises:
            TypeError: If `bits` is not bool.
        """
        if bits.dtype != torch.bool:
            raise TypeError(f"Expected argument `bits` to be a bool tensor, but got {bits.dtype}. Threshold it first.")
        flat = bits.reshape(-1).to(torch.uint8)
        flat = torch.nn.functional.pad(flat, (0, -flat.numel() % _BYTE))
        packed = (flat.view(-1, _BYTE) * _powers(bits.device)).sum(dim=1, dtype=torch.uint8)
        return cls(packed, bits.shape)

    def unpack(self) -> Tensor:
        """Return the mask as a bool tensor of `shape`, on the device of the packed bits."""
        bits = self.packed.unsqueeze(1).bitwise_and(_powers(self.packed.device)).ne(0)
        return bits.view(-1)[: self.numel].view(self.shape)

    def to(self, device: torch.device | str) -> "BitMask":
        """Return the mask on another device."""
        return BitMask(self.packed.to(device), self.shape)

    @property
    def numel(self) -> int:
        """Number of weights the mask covers."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits, at one bit per weight: an upper bound of the mask's size on disk."""
        return self.packed.numel()

    @property
    def ones(self) -> int:
        """Number of weights kept. Bytes are counted, so a hundred million bits take a fraction of a second."""
        whole, rest = divmod(self.numel, _BYTE)
        counts: list[int] = torch.bincount(self.packed[:whole], minlength=2**_BYTE).tolist()
        last = int(self.packed[-1]) & ((1 << rest) - 1) if rest else 0
        return sum(count * byte.bit_count() for byte, count in enumerate(counts)) + last.bit_count()

    @property
    def zero_ratio(self) -> float:
        """Share of weights switched off, in [0, 1] (the paper's "ratio of 0", Figs. 9-13)."""
        return (self.numel - self.ones) / self.numel if self.numel else 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BitMask):
            return NotImplemented
        return self.shape == other.shape and torch.equal(self.packed, other.packed)

    __hash__ = None  # type: ignore[assignment]
