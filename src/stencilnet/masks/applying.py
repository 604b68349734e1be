"""What each kind of entry does to PyTorch's weights: bit for bit what its `apply` does to NumPy's, on any device."""

from collections.abc import Mapping
from functools import singledispatch

import torch
from torch import Tensor

from stencilnet.delta import Affine, Entry, Quantized, Replace, Seeded, Select, Sign, TaskDelta, Ternary
from stencilnet.delta.delta import naming
from stencilnet.delta.entries import shared_weight
from stencilnet.masks.arrays import tensor_of
from stencilnet.masks.selecting import select_all, select_packed, unpacked


@singledispatch
def applied(entry: Entry, weight: Tensor | None) -> Tensor:
    """Return the task's tensor on the shared weight's device, given the shared weight, or None if there is none.

    Raises:
        ValueError: If the entry needs a shared weight, and there is none, or one of another shape.
        TypeError: If there is no such kind of entry.
    """
    raise TypeError(f"Expected an entry of a kind that is known here, but got a {type(entry).__name__}, for {weight}.")


@applied.register
def _(entry: Replace, weight: Tensor | None) -> Tensor:
    tensor = tensor_of(entry.tensor)
    return tensor if weight is None else tensor.to(weight.device)


@applied.register
def _(entry: Select, weight: Tensor | None) -> Tensor:
    return select_packed(shared_weight(weight, entry.shape, "to select from"), entry.bits)


@applied.register
def _(entry: Quantized, weight: Tensor | None) -> Tensor:
    given = shared_weight(weight, entry.shape, "to move")
    return moved(given, _change(entry, given.device))


@applied.register
def _(entry: Seeded, weight: Tensor | None) -> Tensor:
    given = shared_weight(weight, entry.shape, "to take the place of")
    base = tensor_of(entry.seed.weight(entry.shape)).to(given.device)
    return moved(base, _change(entry.change, given.device)).to(given.dtype)


@applied.register
def _(entry: Sign, weight: Tensor | None) -> Tensor:
    given = shared_weight(weight, entry.shape, "to move")
    scale = tensor_of(entry.scale).to(given.device)
    return moved(given, torch.where(unpacked(entry.bits, given.device), scale, -scale))


@applied.register
def _(entry: Ternary, weight: Tensor | None) -> Tensor:
    given = shared_weight(weight, entry.shape, "to select from")
    keep, flip = (unpacked(bits, given.device) for bits in (entry.keep, entry.flip))
    return torch.where(keep, torch.where(flip, -given, given), given.new_zeros(()))


@applied.register
def _(entry: Affine, weight: Tensor | None) -> Tensor:
    given = shared_weight(weight, entry.shape, "to mix")
    wide = given.to(torch.promote_types(given.dtype, torch.float32))
    bits = unpacked(entry.bits, given.device)
    kept = torch.where(bits, wide, wide.new_zeros(()))
    k = tensor_of(entry.k).to(given.device)
    return (k[0] * wide + k[1] + k[2] * bits + k[3] * kept).to(given.dtype)


def _change(entry: Quantized, device: torch.device) -> Tensor:
    return tensor_of(entry.step).to(device) * tensor_of(entry.codes).to(device)


def moved(weight: Tensor, change: Tensor) -> Tensor:
    """Return the sum of a weight and a float32 change, computed in float32 and rounded if the weight has fewer bits.

    Args:
        weight: Weight of any float dtype.
        change: float32 change of its shape.
    """
    if weight.element_size() < change.element_size():
        return (weight.to(change.dtype) + change).to(weight.dtype)
    return weight + change.to(weight.dtype)


def write(entry: Entry, weight: Tensor | None, out: Tensor) -> None:
    """Write the result of `applied` over another task's tensor, without memory for a second one where that is possible.

    Raises:
        ValueError: As for `applied`, or if `out` differs from the result in shape, dtype or, unless the entry replaces
            the weight, device.
    """
    if isinstance(entry, Select):
        select_packed(shared_weight(weight, entry.shape, "to select from"), entry.bits, out)
        return
    tensor = applied(entry, None if isinstance(entry, Replace) else weight)
    wanted, got = ((t.shape, t.dtype) for t in (tensor, out))
    if wanted != got or not (isinstance(entry, Replace) or tensor.device == out.device):  # `copy_` would convert it
        raise ValueError(
            f"Expected argument `out` to be {tensor.dtype} of shape {tuple(tensor.shape)} on {tensor.device}, "
            f"but got {out.dtype} of shape {tuple(out.shape)} on {out.device}."
        )
    with torch.no_grad():
        out.copy_(tensor)


def task_weights(delta: TaskDelta, shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a task's full set of weights; `shared` is read, never written.

    Keys without an entry keep the shared tensors themselves, not copies.

    Raises:
        DeltaError: If an entry does not fit its shared weight; the message names the key.
    """
    weights = dict(shared)
    for key, entry in delta.entries.items():
        with naming(key):
            weights[key] = applied(entry, shared.get(key))
    return weights


def write_task(delta: TaskDelta, shared: Mapping[str, Tensor], out: Mapping[str, Tensor]) -> None:
    """Write `task_weights` into the tensors of `out`, of the same keys, shapes and dtypes, on one device.

    On a GPU all selected weights are written in one launch. Call `TaskDelta.check` first: an entry that does not fit
    raises after a part of `out` has been written.
    """
    selects = {key: entry for key in out if isinstance(entry := delta.entries.get(key), Select)}
    copied = [key for key in out if key not in delta.entries]
    given = [shared_weight(shared.get(key), entry.shape, "to select from") for key, entry in selects.items()]
    with torch.no_grad():
        select_all(given, [entry.bits for entry in selects.values()], [out[key] for key in selects])
        for key, entry in delta.entries.items():
            if key in out and key not in selects:
                write(entry, shared.get(key), out[key])
        if copied:
            torch._foreach_copy_([out[key] for key in copied], [shared[key] for key in copied])
