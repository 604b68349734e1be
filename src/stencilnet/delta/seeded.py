"""Weights drawn from a seed, the same on every machine and in every version (``docs/format.md``, kind ``seeded``)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, prod, sqrt
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from stencilnet.delta.entries import Entry, shared_weight
from stencilnet.delta.quantized import Quantized, moved
from stencilnet.delta.spec import Array

_ROUNDS = 10
_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_KEPT = 256
"""Layers whose weights are cached; tasks over one seed share them."""

_BASE = np.dtype([("seed", "<u8"), ("bound", "<f4")])


@dataclass(frozen=True)
class Seed:
    """One layer's random weights, uniform between -`bound` and `bound`.

    Attributes:
        seed: 0 to 2^64 - 1.
        bound: A positive float32 number.
    """

    seed: int
    bound: float

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 64 or not (self.bound > 0 and isfinite(self.bound)):
            raise ValueError(
                f"Expected a seed from 0 to 2^64 - 1 and a positive bound, but got {self.seed} and {self.bound}."
            )

    @classmethod
    def of(cls, number: int, key: str, shape: tuple[int, ...]) -> Self:
        """Return a layer's seed, given the seed of the whole network.

        The bound is PyTorch's for convolutions and linear layers, ``1 / sqrt(fan in)``.

        Args:
            number: Seed of the whole network.
            key: State-dict key of the layer's weight.
            shape: Shape of the weight.
        """
        digest = hashlib.sha256(f"{number}/{key}".encode()).digest()
        return cls(int.from_bytes(digest[:8], "little"), float(np.float32(1 / sqrt(prod(shape[1:])))))

    def weight(self, shape: tuple[int, ...]) -> Array:
        """Return the weights, float32; they are cached, so never write them."""
        return _weight(self, shape)

    def to_bytes(self) -> Array:
        """Return ``(12,)`` uint8: the seed in 8 bytes and the bound as float32, both little-endian."""
        return np.array([(self.seed, self.bound)], _BASE).view(np.uint8)

    @classmethod
    def from_bytes(cls, data: Array) -> Self:
        """Read the output of `to_bytes`.

        Raises:
            ValueError: If `data` has another form, or the seed or bound is invalid.
        """
        if data.dtype != np.uint8 or data.shape != (_BASE.itemsize,):
            raise ValueError(f"Expected a seed as 12 bytes, but got {data.dtype} of shape {data.shape}.")
        (found,) = data.view(_BASE)
        return cls(int(found["seed"]), float(found["bound"]))


@dataclass(frozen=True, eq=False)
class Seeded(Entry):
    """The task adds multiples of one step size to weights drawn from a seed; the shared ones are not used.

    So it has no weight codes: these say what a task does to the shared weights.

    Attributes:
        seed: Seed of the weights that are moved.
        change: The change that is added to them.
    """

    KIND: ClassVar[str] = "seeded"
    PLANES: ClassVar[tuple[str, ...]] = ()
    seed: Seed
    change: Quantized

    def apply(self, weight: Array | None) -> Array:
        """Return the moved weights, in the shared weight's dtype.

        Raises:
            ValueError: If the shared net has no such weight, or one of another shape.
        """
        given = shared_weight(weight, self.shape, "to take the place of")
        weights = moved(self.seed.weight(self.shape), self.change.step * self.change.codes)
        with np.errstate(over="ignore"):  # to infinity, as PyTorch does
            return weights.astype(given.dtype)

    def tensors(self) -> dict[str, Array]:
        """Return seed and bound under the part name ``base``, step and codes under ``code``."""
        return {"base": self.seed.to_bytes(), **self.change.tensors()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array], shape: tuple[int, ...]) -> Self:
        """Rebuild from stored parts.

        Raises:
            ValueError: If they do not encode a seed and codes of this shape.
        """
        return cls(Seed.from_bytes(tensors["base"]), Quantized.from_tensors(tensors, shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        return self.change.shape

    @property
    def nbytes(self) -> int:
        """Bytes of seed, bound, step and codes."""
        return _BASE.itemsize + self.change.nbytes


def philox(seed: int, count: int) -> npt.NDArray[np.uint32]:
    """Return random words by the counter-based generator Philox4x32-10 (Salmon et al. 2011), in exact integers.

    Args:
        seed: The key, 64 bits, its low word first. Block i of four words has the counter (i, i >> 32, 0, 0).
        count: Number of words.
    """
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    state = [blocks & _LOW, blocks >> np.uint64(32), np.zeros_like(blocks), np.zeros_like(blocks)]
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(_ROUNDS):
        first, second = state[0] * _MULTIPLIERS[0], state[2] * _MULTIPLIERS[1]
        state = [
            (second >> np.uint64(32)) ^ state[1] ^ np.uint64(keys[0]),
            second & _LOW,
            (first >> np.uint64(32)) ^ state[3] ^ np.uint64(keys[1]),
            first & _LOW,
        ]
        keys = [(key + weyl) & 0xFFFFFFFF for key, weyl in zip(keys, _WEYL, strict=True)]
    return np.stack(state, axis=1).astype(np.uint32).reshape(-1)[:count]


@lru_cache(maxsize=_KEPT)
def _weight(seed: Seed, shape: tuple[int, ...]) -> Array:
    """Draw from the midpoints of 2^24 equal parts of (-1, 1), which are exact in float32, and scale by the bound."""
    places = 2 * (philox(seed.seed, prod(shape)) >> np.uint32(8)).astype(np.int32) + 1 - (1 << 24)
    unit = places.astype(np.float32) * np.float32(2.0**-24)
    return (unit * np.float32(seed.bound)).reshape(shape)
