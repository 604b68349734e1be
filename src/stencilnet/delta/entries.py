"""Entries of a delta: what a task does to one state-dict key. Each kind is frozen and pure and names itself on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, TypeVar

import numpy as np

from stencilnet.delta.packing import BitMask
from stencilnet.delta.spec import Array
from stencilnet.delta.weight_codes import WeightCodes


class Entry(Protocol):
    """One key's part of a delta. A further kind is a further frozen class that extends this one.

    What a kind does to PyTorch's tensors is written in `stencilnet.masks.applying`, with the same results bit for bit.

    Attributes:
        KIND: Name of the kind in the file.
        PLANES: Names of the parts that are packed bits, one per weight; a bundle may code them in fewer bytes.
    """

    KIND: ClassVar[str]
    PLANES: ClassVar[tuple[str, ...]]

    def apply(self, weight: Array | None) -> Array:
        """Return the task's tensor, given the shared one (None if the shared network has no such key)."""
        ...

    def tensors(self) -> dict[str, Array]:
        """Return the tensors to store, by part name."""
        ...

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Self:
        """Rebuild the entry from its stored parts and the shape of the task's tensor."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the task's tensor."""
        ...

    @property
    def kept(self) -> BitMask | None:
        """Mask of the shared weights that the task keeps, switching off the rest; None if the kind does not select."""
        return None

    @property
    def weight_codes(self) -> WeightCodes | None:
        """What the task does to each shared weight, as a small integer; None if the kind cannot be coded so."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of all parts, uncompressed; a bundle may code them in fewer."""
        ...


@dataclass(frozen=True, eq=False)
class Replace(Entry):
    """The task has a tensor of its own: head, decoder, norm, running statistics, a whole scratch net.

    Attributes:
        tensor: The array, of any dtype and shape.

    Raises:
        TypeError: If `tensor` is no NumPy array.
    """

    KIND: ClassVar[str] = "replace"
    PLANES: ClassVar[tuple[str, ...]] = ()
    tensor: Array

    def __post_init__(self) -> None:
        tensor: object = self.tensor
        if not isinstance(tensor, np.ndarray):
            got = type(tensor).__name__
            raise TypeError(
                f"Expected argument `tensor` to be a NumPy array, but got a {got}. "
                "stencilnet.masks.array_of converts a tensor of PyTorch."
            )

    def apply(self, weight: Array | None) -> Array:  # noqa: ARG002 (the shared weight does not matter)
        """Return the task's tensor itself, not a copy."""
        return self.tensor

    def tensors(self) -> dict[str, Array]:
        """Return the tensor under the part name ``tensor``."""
        return {"tensor": self.tensor}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Self:
        """Rebuild from the stored tensor.

        Raises:
            ValueError: If the tensor does not have the declared shape.
        """
        tensor = tensors["tensor"]
        if tensor.shape != shape:
            raise ValueError(f"Expected a stored tensor of shape {shape}, but got {tensor.shape}.")
        return cls(tensor)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.tensor.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.tensor.nbytes


@dataclass(frozen=True, eq=False)
class Select(Entry):
    """The task keeps the shared weights whose bit is one: ``where(bits, W, 0)`` (Mallya et al. 2018, Sec. 3)."""

    KIND: ClassVar[str] = "select"
    PLANES: ClassVar[tuple[str, ...]] = ("bits",)
    bits: BitMask

    def apply(self, weight: Array | None) -> Array:
        """Return the selected weights.

        Raises:
            ValueError: If the shared net has no weight to select from, or one of another shape.
        """
        return selected(shared_weight(weight, self.shape, "to select from"), self.bits)

    def tensors(self) -> dict[str, Array]:
        """Return the packed bits under the part name ``bits``."""
        return {"bits": self.bits.packed}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Self:
        """Rebuild from packed bits.

        Raises:
            ValueError: If they do not fit the shape, or an unused bit of the last byte is set.
        """
        return cls(stored_bits(tensors["bits"], shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the masked weight."""
        return self.bits.shape

    @property
    def kept(self) -> BitMask | None:
        """The bits."""
        return self.bits

    @property
    def weight_codes(self) -> WeightCodes | None:
        """The bits: 1 keeps a weight as it is, 0 switches it off."""
        return WeightCodes(self.KIND, 1, self.shape, lambda: self.bits.unpack().view(np.int8))

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits."""
        return self.bits.nbytes


class Shaped(Protocol):
    """An array of any library."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        ...


A = TypeVar("A", bound=Shaped)


def shared_weight(weight: A | None, shape: tuple[int, ...], purpose: str) -> A:
    """Return the shared weight that an entry builds on.

    Args:
        weight: The shared weight under the entry's key; None if there is none.
        shape: Its expected shape.
        purpose: Its purpose, as a phrase for the error message.

    Raises:
        ValueError: If the weight is missing or has another shape.
    """
    if weight is None or weight.shape != shape:
        got = "none" if weight is None else f"one of shape {tuple(weight.shape)}"
        raise ValueError(f"Expected a shared weight of shape {tuple(shape)} {purpose}, but got {got}.")
    return weight


def selected(weight: Array, bits: BitMask) -> Array:
    """Return ``where(bits, weight, 0)``: zeros are +0.0, and NaN and infinity are cleared like any weight."""
    # The weights as integers, times 0 or 1: four times as fast as `numpy.where`.
    integers = weight.view(f"u{weight.itemsize}") * bits.unpack().view(np.uint8)
    return np.asarray(integers).view(weight.dtype)


def stored_bits(packed: Array, shape: tuple[int, ...]) -> BitMask:
    """Return packed bits read from a file as a mask.

    Raises:
        ValueError: If they do not fit the shape, or an unused bit of the last byte is set.
    """
    bits = BitMask(packed, shape)
    used = bits.numel % 8
    if used and int(packed[-1]) >> used:
        raise ValueError(
            f"Expected the {8 - used} unused bits of a {tuple(shape)} mask's last byte to be zero, "
            f"but got {int(packed[-1]):#010b}. Were the bits packed most significant first?"
        )
    return bits
