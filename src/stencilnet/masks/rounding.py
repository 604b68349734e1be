"""A backbone in fewer bytes: weights rounded once, to numbers that a bundle stores exactly (ours)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Stored = Literal["float32", "float16", "int8"]
"""How a bundle stores a backbone's float32 weights of two or more dimensions. They run in float32 all the same."""

LARGEST = 127
"""Largest absolute value of an int8 code."""

_SCALE_BITS = 16
"""Significant bits of a scale: few enough that every product with a code is exact in float32, and so is the scale that
a rounded weight gives again."""


SCALE = ":scale"
"""What is put behind a weight's key for its scales; no state-dict key has a colon."""

_TINY = 2.0**-100
"""What is smaller becomes 0: a scale has to be a normal number."""


def is_rounded(tensor: Tensor) -> bool:
    """Return whether a tensor of a backbone is rounded at all: biases, norms and statistics are not."""
    return tensor.dtype == torch.float32 and tensor.dim() >= 2


def rounded(weights: Mapping[str, Tensor], stored: Stored) -> dict[str, Tensor]:
    """Return weights as they are after being stored and read; rounding them again changes nothing.

    Args:
        weights: By state-dict key.
        stored: The form. ``float32`` leaves all as they are.

    Raises:
        ValueError: If a weight is not finite, or too large for the form.
    """
    return {name: _rounded(name, tensor, stored) if is_rounded(tensor) else tensor for name, tensor in weights.items()}


def parts(weights: Mapping[str, Tensor], stored: Stored) -> dict[str, Tensor]:
    """Return rounded weights as the tensors that a bundle stores: `whole` of them gives the weights again, exactly.

    An int8 weight has its scales under its key with `SCALE` behind it.

    Raises:
        ValueError: If the weights have not been rounded to this form.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if stored == "float32" or not is_rounded(tensor):
            found[name] = tensor
        elif not torch.equal(_rounded(name, tensor, stored), tensor):
            raise ValueError(
                f"Expected weights that were rounded to {stored}, but `{name}` was not, or has changed since. "
                "Round them with NetState.round before tasks are learned over them, or store them as float32."
            )
        elif stored == "float16":
            found[name] = tensor.half()
        else:
            found[name], found[name + SCALE] = to_int8(tensor)
    return found


def whole(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that stored tensors stand for, float32 where they were rounded.

    Raises:
        ValueError: If a scale has no codes, or they do not fit each other.
    """
    weights: dict[str, Tensor] = {}
    for name, tensor in parts.items():
        if name.endswith(SCALE):
            _check_scale(name, tensor, parts.get(name.removesuffix(SCALE)))
        elif name + SCALE in parts:
            weights[name] = from_int8(tensor, parts[name + SCALE])
        else:
            weights[name] = tensor.float() if tensor.dtype == torch.float16 else tensor
    return weights


def _check_scale(name: str, scale: Tensor, codes: Tensor | None) -> None:
    wanted = None if codes is None else (len(codes), *[1] * (codes.dim() - 1))
    if codes is None or codes.dtype != torch.int8 or scale.dtype != torch.float32 or tuple(scale.shape) != wanted:
        got = "no codes" if codes is None else f"{codes.dtype} codes of shape {tuple(codes.shape)}"
        raise ValueError(
            f"Expected `{name}` to be float32 scales, one for each of the first dimension of int8 codes, but got "
            f"{scale.dtype} of shape {tuple(scale.shape)} for {got}."
        )


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a float32 weight as codes and scales; their product is the rounded weight.

    Args:
        weight: Of two or more dimensions, finite.

    Returns:
        int8 of its shape, and float32 with 1 in every dimension but the first: the largest absolute value over 127,
        rounded up to 16 significant bits; 0 where all values are below `_TINY`.
    """
    rows = weight.detach().reshape(len(weight), -1)
    largest = rows.abs().amax(dim=1)
    scale = torch.where(largest < _TINY, 0.0, _short(largest / LARGEST))
    codes = torch.where(scale[:, None] > 0, rows / scale[:, None], 0.0).round().to(torch.int8)
    return codes.view(weight.shape), scale.view(-1, *[1] * (weight.dim() - 1))


def from_int8(codes: Tensor, scale: Tensor) -> Tensor:
    """Return the float32 weight that codes and scales stand for; every product is exact."""
    return codes.float() * scale


def _rounded(name: str, weight: Tensor, stored: Stored) -> Tensor:
    match stored:
        case "float32":
            return weight
        case "float16":
            result = weight.half().float()
        case "int8":
            result = from_int8(*to_int8(weight))
    if not result.isfinite().all():
        raise ValueError(f"Expected `{name}` to hold finite numbers that {stored} can hold. Store it as float32.")
    return result


def _short(scale: Tensor) -> Tensor:
    """Round positive float32 numbers up to `_SCALE_BITS` significant bits."""
    mantissa, exponent = torch.frexp(scale)
    return torch.ldexp((mantissa * 2**_SCALE_BITS).ceil(), exponent - _SCALE_BITS)
