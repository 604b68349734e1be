"""Entries of a delta: what a task does to one state-dict key. Each kind is frozen and pure and names itself on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor

from stencilnet.masks.packing import BitMask
from stencilnet.masks.selecting import select_all, select_packed
from stencilnet.masks.weight_codes import WeightCodes


class Entry(Protocol):
    """One key's part of a delta. A further kind is a further frozen class with these members.

    Attributes:
        KIND: Name of the kind in the file.
        PLANES: Names of the parts that are packed bits, one per weight; a bundle may code them in fewer bytes.
    """

    KIND: ClassVar[str]
    PLANES: ClassVar[tuple[str, ...]]

    def apply(self, weight: Tensor | None) -> Tensor:
        """Return the task's tensor, given the shared one (None if the shared network has no such key)."""
        ...

    def write(self, weight: Tensor | None, out: Tensor) -> None:
        """Write the result of `apply` into `out`, which has its shape and dtype and no memory of `weight`."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors to store, by part name."""
        ...

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> Self:
        """Rebuild the entry from its stored parts and the shape of the task's tensor."""
        ...

    @property
    def shape(self) -> torch.Size:
        """Shape of the task's tensor."""
        ...

    @property
    def kept(self) -> BitMask | None:
        """Mask of the shared weights that the task keeps, switching off the rest; None if the kind does not select."""
        ...

    @property
    def weight_codes(self) -> WeightCodes | None:
        """What the task does to each shared weight, as a small integer; None if the kind cannot be coded so."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of all parts, uncompressed; a bundle may code them in fewer."""
        ...


@dataclass(frozen=True, eq=False)
class Replace:
    """The task has a tensor of its own: head, decoder, norm, running statistics, a whole scratch net."""

    KIND: ClassVar[str] = "replace"
    PLANES: ClassVar[tuple[str, ...]] = ()
    tensor: Tensor

    def apply(self, weight: Tensor | None) -> Tensor:
        """Return the task's tensor, on the shared weight's device if there is one."""
        return self.tensor if weight is None else self.tensor.to(weight.device)

    def write(self, weight: Tensor | None, out: Tensor) -> None:  # noqa: ARG002 (the shared weight does not matter)
        """Write the task's tensor."""
        with torch.no_grad():
            out.copy_(self.tensor)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensor under the part name ``tensor``."""
        return {"tensor": self.tensor}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> Self:
        """Rebuild from the stored tensor.

        Raises:
            ValueError: If the tensor does not have the declared shape.
        """
        tensor = tensors["tensor"]
        if tensor.shape != shape:
            raise ValueError(f"Expected a stored tensor of shape {tuple(shape)}, but got {tuple(tensor.shape)}.")
        return cls(tensor)

    @property
    def shape(self) -> torch.Size:
        """Shape of the tensor."""
        return self.tensor.shape

    @property
    def kept(self) -> BitMask | None:
        """None: the shared weights are not used."""
        return None

    @property
    def weight_codes(self) -> WeightCodes | None:
        """None: the shared weights are not used."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.tensor.numel() * self.tensor.element_size()


@dataclass(frozen=True, eq=False)
class Select:
    """The task keeps the shared weights whose bit is one: ``where(bits, W, 0)`` (Mallya et al. 2018, Sec. 3)."""

    KIND: ClassVar[str] = "select"
    PLANES: ClassVar[tuple[str, ...]] = ("bits",)
    bits: BitMask

    def apply(self, weight: Tensor | None) -> Tensor:
        """Return the selected weights.

        Raises:
            ValueError: If the shared net has no weight to select from, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to select from")
        return select_packed(given, self.bits.to(given.device))

    def write(self, weight: Tensor | None, out: Tensor) -> None:
        """Write the selected weights.

        Raises:
            ValueError: As for `apply`, or if `out` differs from the shared weight in shape, dtype or device.
        """
        given = shared_weight(weight, self.shape, "to select from")
        select_packed(given, self.bits.to(given.device), out)

    def tensors(self) -> dict[str, Tensor]:
        """Return the packed bits under the part name ``bits``."""
        return {"bits": self.bits.packed}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> Self:
        """Rebuild from packed bits.

        Raises:
            ValueError: If they do not fit the shape, or an unused bit of the last byte is set.
        """
        return cls(stored_bits(tensors["bits"], shape))

    @property
    def shape(self) -> torch.Size:
        """Shape of the masked weight."""
        return self.bits.shape

    @property
    def kept(self) -> BitMask | None:
        """The bits."""
        return self.bits

    @property
    def weight_codes(self) -> WeightCodes | None:
        """The bits: 1 keeps a weight as it is, 0 switches it off."""
        return WeightCodes(self.KIND, 1, self.shape, lambda: self.bits.unpack().to(torch.int8))

    @property
    def nbytes(self) -> int:
        """Bytes of the packed bits."""
        return self.bits.nbytes


def write_selected(entries: Sequence[Select], weights: Sequence[Tensor | None], outs: Sequence[Tensor]) -> None:
    """Do `Select.write` for many keys at once; on a GPU this is one launch.

    Raises:
        ValueError: As for `Select.write`.
    """
    given = [
        shared_weight(weight, entry.bits.shape, "to select from")
        for entry, weight in zip(entries, weights, strict=True)
    ]
    masks = [entry.bits.to(weight.device) for entry, weight in zip(entries, given, strict=True)]
    select_all(given, masks, outs)


def shared_weight(weight: Tensor | None, shape: torch.Size, purpose: str) -> Tensor:
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


def stored_bits(packed: Tensor, shape: torch.Size) -> BitMask:
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


def write_over(out: Tensor, tensor: Tensor) -> None:
    """Write a task's tensor over another task's.

    Raises:
        ValueError: If they differ in shape, dtype or device: `copy_` would broadcast and convert.
    """
    wanted, got = ((t.shape, t.dtype, t.device) for t in (tensor, out))
    if wanted != got:
        raise ValueError(
            f"Expected argument `out` to be {tensor.dtype} of shape {tuple(tensor.shape)} on {tensor.device}, "
            f"but got {out.dtype} of shape {tuple(out.shape)} on {out.device}."
        )
    with torch.no_grad():
        out.copy_(tensor)
