"""A backbone in fewer bytes: weights rounded once to what a bundle stores exactly, or drawn from a seed (ours)."""

import re
from collections.abc import Mapping
from math import prod

import numpy as np
import numpy.typing as npt

from stencilnet.delta.seeded import Seed
from stencilnet.delta.spec import Array
from stencilnet.text.shortening import brief

Stored = str
"""How a bundle stores a backbone's float32 weights of two or more dimensions: ``float32``, ``float16``, ``int8``, or
``seed:N``, where all are drawn from the seed N. They always run in float32."""

_FORM = re.compile(r"float32|float16|int8|seed:(0|[1-9][0-9]{0,18})")

LARGEST = 127
"""Largest absolute value of an int8 code."""

_SCALE_BITS = 16
"""Significant bits of a scale: few enough that every product with a code is exact in float32, and that rounding a
rounded weight gives the same scale again."""


SCALE, SEED, SHAPE = ":scale", ":seed", ":shape"
"""Suffixes of a weight's key for its scales, or its seed and shape; no state-dict key has a colon."""

DIMENSIONS = 64
"""Most dimensions of a weight, as for the entries of a delta."""

MOST = 1 << 28
"""Most weights of one backbone that may be drawn from seeds. A few bytes in a file must not claim unlimited memory."""

_TINY = 2.0**-100
"""Smaller values become 0, since a scale has to be a normal number."""


def check_stored(stored: object) -> None:
    """Refuse an unknown form of storage.

    Raises:
        ValueError: If `stored` is none of ``float32``, ``float16``, ``int8`` and ``seed:N``.
    """
    if not isinstance(stored, str) or not _FORM.fullmatch(stored):
        raise ValueError(
            "Expected the backbone to be stored as float32, float16, int8 or seed:N with a number N of at most 19 "
            f"digits, but got {brief(stored)}."
        )


def seed_number(stored: Stored) -> int | None:
    """Return N of ``seed:N``; None for the other forms."""
    found = _FORM.fullmatch(stored)
    return int(found[1]) if found and found[1] else None


def is_rounded(tensor: Array) -> bool:
    """Return whether rounding applies to a tensor of a backbone: not to biases, norms and statistics."""
    return tensor.dtype == np.float32 and tensor.ndim >= 2


def rounded(weights: Mapping[str, Array], stored: Stored) -> dict[str, Array]:
    """Return weights as they are after being stored and read; rounding them again changes nothing.

    Args:
        weights: The weights by state-dict key.
        stored: The form. ``float32`` changes nothing. ``seed:N`` replaces weights of two or more dimensions by random
            ones, whatever their values: use it before anything is trained.

    Raises:
        ValueError: If there is no such form, or a weight is not finite or too large for it.
    """
    check_stored(stored)
    return {name: _rounded(name, tensor, stored) if is_rounded(tensor) else tensor for name, tensor in weights.items()}


def parts(weights: Mapping[str, Array], stored: Stored) -> dict[str, Array]:
    """Return rounded weights as the tensors that a bundle stores; `whole` restores the weights exactly.

    The scales of an int8 weight are stored under its key followed by `SCALE`.

    Raises:
        ValueError: If the weights have not been rounded to this form.
    """
    found: dict[str, Array] = {}
    for name, tensor in weights.items():
        if stored == "float32" or not is_rounded(tensor):
            found[name] = tensor
        elif not np.array_equal(_rounded(name, tensor, stored), tensor):
            raise ValueError(
                f"Expected weights that were rounded to {stored}, but `{name}` was not, or has changed since. "
                "Round them with NetState.round before tasks are learned over them, or store them as float32."
            )
        elif stored == "float16":
            found[name] = tensor.astype(np.float16)
        elif (number := seed_number(stored)) is not None:
            found[name + SEED] = Seed.of(number, name, tensor.shape).to_bytes()
            found[name + SHAPE] = np.array(tensor.shape, np.int64)
        else:
            found[name], found[name + SCALE] = to_int8(tensor)
    return found


def whole(parts: Mapping[str, Array]) -> dict[str, Array]:
    """Return the weights that stored tensors represent, in float32 where they were rounded.

    Raises:
        ValueError: If a scale has no codes, a seed has no shape, they do not fit each other, or there are seeds for
            more than `MOST` weights.
    """
    weights: dict[str, Array] = {}
    seeded = [name.removesuffix(SEED) for name in parts if name.endswith(SEED)]
    shapes = {name: _shape(name, parts.get(name + SHAPE)) for name in seeded}
    if (count := sum(map(prod, shapes.values()))) > MOST:
        raise ValueError(f"Expected seeds for at most {MOST} weights, but got {count}.")
    for name, tensor in parts.items():
        if name.endswith(SCALE):
            _check_scale(name, tensor, parts.get(name.removesuffix(SCALE)))
        elif name.endswith(SEED):
            weights[name.removesuffix(SEED)] = Seed.from_bytes(tensor).weight(shapes[name.removesuffix(SEED)])
        elif name.removesuffix(SHAPE) in seeded:
            continue
        elif name + SCALE in parts:
            weights[name] = from_int8(tensor, parts[name + SCALE])
        else:
            weights[name] = tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
    return weights


def _shape(name: str, given: Array | None) -> tuple[int, ...]:
    """Return the shape that is stored beside a seed."""
    sizes = None if given is None or given.dtype != np.int64 or given.ndim != 1 else tuple(given.tolist())
    if sizes is None or not 2 <= len(sizes) <= DIMENSIONS or not all(0 < size <= MOST for size in sizes):
        got = "none" if given is None else f"{given.dtype} of shape {given.shape}"
        raise ValueError(
            f"Expected `{name}{SHAPE}` to hold 2 to {DIMENSIONS} sizes, each of 1 to {MOST}, beside the seed, but got "
            f"{got if sizes is None else brief(sizes)}."
        )
    return sizes


def _check_scale(name: str, scale: Array, codes: Array | None) -> None:
    wanted = None if codes is None else (len(codes), *[1] * (codes.ndim - 1))
    if codes is None or codes.dtype != np.int8 or scale.dtype != np.float32 or scale.shape != wanted:
        got = "no codes" if codes is None else f"{codes.dtype} codes of shape {codes.shape}"
        raise ValueError(
            f"Expected `{name}` to be float32 scales, one for each of the first dimension of int8 codes, but got "
            f"{scale.dtype} of shape {scale.shape} for {got}."
        )


@np.errstate(all="ignore")
def to_int8(weight: Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return a float32 weight as codes and scales; their product is the rounded weight.

    Args:
        weight: Finite float32 of two or more dimensions.

    Returns:
        int8 codes of its shape, and float32 scales of size 1 in every dimension but the first: the largest absolute
        value over 127, rounded up to 16 significant bits; 0 where all values are below `_TINY`.
    """
    axes = tuple(range(1, weight.ndim))
    largest = np.abs(weight).max(axis=axes, keepdims=True, initial=0)
    scale = np.where(largest < _TINY, np.float32(0), _short(largest / np.float32(LARGEST)))
    codes = np.where(scale > 0, weight / scale, np.float32(0))
    return np.rint(codes).astype(np.int8), scale


def from_int8(codes: Array, scale: Array) -> npt.NDArray[np.float32]:
    """Return the float32 weight that codes and scales represent; every product is exact."""
    weight: npt.NDArray[np.float32] = codes.astype(np.float32) * scale
    return weight


@np.errstate(all="ignore")
def _rounded(name: str, weight: Array, stored: Stored) -> Array:
    match stored:
        case "float32":
            return weight
        case "float16":
            result = weight.astype(np.float16).astype(np.float32)
        case "int8":
            result = from_int8(*to_int8(weight))
        case _:
            number = seed_number(stored)
            assert number is not None, "`rounded` has looked"
            return Seed.of(number, name, weight.shape).weight(weight.shape)
    if not np.isfinite(result).all():
        raise ValueError(f"Expected `{name}` to hold finite numbers that {stored} can hold. Store it as float32.")
    return result


def _short(scale: Array) -> Array:
    """Round positive float32 numbers up to `_SCALE_BITS` significant bits."""
    mantissa, exponent = np.frexp(scale)
    short: Array = np.ldexp(np.ceil(mantissa * np.float32(2**_SCALE_BITS)), exponent - _SCALE_BITS)
    return short
