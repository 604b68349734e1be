"""True one-bit storage of a binary mask."""

from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
import numpy.typing as npt

_BYTE = 8


@dataclass(frozen=True, eq=False)
class BitMask:
    """A binary mask at one bit per weight, least significant bit first; unused bits of the last byte are zero.

    Attributes:
        packed: ``(ceil(n / 8),)`` uint8, where n is the number of weights.
        shape: Shape of the weight that the mask belongs to.
    """

    packed: npt.NDArray[np.uint8]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        expected = -(-prod(self.shape) // _BYTE)
        if self.packed.dtype != np.uint8 or tuple(self.packed.shape) != (expected,):
            raise ValueError(
                f"Expected the packed bits of a {tuple(self.shape)} mask to be uint8 of shape ({expected},), "
                f"but got {self.packed.dtype} of shape {tuple(self.packed.shape)}. Make masks with BitMask.pack."
            )

    @classmethod
    def pack(cls, bits: npt.ArrayLike) -> Self:
        """Pack a bool array of any shape, or what NumPy turns into one, such as a bool tensor on the CPU.

        Raises:
            TypeError: If `bits` is not bool.
        """
        array = np.asarray(bits)
        if array.dtype != np.bool_:
            raise TypeError(f"Expected argument `bits` to be a bool array, but got {array.dtype}. Threshold it first.")
        return cls(np.packbits(array.reshape(-1), bitorder="little"), array.shape)

    def unpack(self) -> npt.NDArray[np.bool_]:
        """Return the mask as a new bool array of `shape`."""
        bits = np.unpackbits(self.packed, count=self.numel, bitorder="little")
        return bits.view(np.bool_).reshape(self.shape)

    @property
    def numel(self) -> int:
        """Number of weights the mask covers."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits, at one bit per weight: an upper bound of the mask's size on disk."""
        return self.packed.size

    @property
    def ones(self) -> int:
        """Number of weights kept."""
        whole, rest = divmod(self.numel, _BYTE)
        last = int(self.packed[-1]) & ((1 << rest) - 1) if rest else 0
        return int(np.bitwise_count(self.packed[:whole]).sum()) + last.bit_count()

    @property
    def zero_ratio(self) -> float:
        """Share of weights switched off, in [0, 1] (the paper's "ratio of 0", Figs. 9-13)."""
        return (self.numel - self.ones) / self.numel if self.numel else 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BitMask):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.packed, other.packed)

    __hash__ = None  # type: ignore[assignment]
