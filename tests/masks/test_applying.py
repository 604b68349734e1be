"""What an entry does to PyTorch's weights: bit for bit what it does to NumPy's, for every kind, dtype and shape."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from stencilnet.bundle.tensors import KINDS
from stencilnet.delta import (
    Affine,
    BitMask,
    DeltaError,
    Entry,
    Quantized,
    Replace,
    Seed,
    Seeded,
    Select,
    Sign,
    TaskDelta,
    Ternary,
)
from stencilnet.delta.spec import Array, dtype_named
from stencilnet.masks import applied, array_of, tensor_of
from stencilnet.masks.applying import task_weights, write, write_task

DTYPES = ("float16", "bfloat16", "float32", "float64")
SHAPES = ((), (0,), (1,), (13,), (5, 3), (8, 0, 2), (7, 5, 3, 3))

Draw = np.random.Generator


def scale_of(draw: Draw, shape: tuple[int, ...]) -> Array:
    return np.asarray(draw.uniform(0, 1e-2, (*shape[:1], *[1] * (len(shape) - 1))).astype(np.float32))


def bits_of(draw: Draw, shape: tuple[int, ...]) -> Array:
    return np.asarray(draw.random(shape) > 0.5)


def codes_of(draw: Draw, shape: tuple[int, ...]) -> Quantized:
    return Quantized(np.asarray(draw.integers(-127, 128, shape, np.int8)), np.array(3e-3, np.float32))


def ternary_of(draw: Draw, shape: tuple[int, ...]) -> Ternary:
    keep = bits_of(draw, shape)
    return Ternary(BitMask.pack(keep), BitMask.pack(keep & bits_of(draw, shape)))


MAKERS: dict[str, Callable[[Draw, tuple[int, ...], str], Entry]] = {
    "replace": lambda draw, shape, dtype: Replace(weight_of(draw, shape, dtype)),
    "select": lambda draw, shape, _: Select(BitMask.pack(bits_of(draw, shape))),
    "quantized": lambda draw, shape, _: codes_of(draw, shape),
    "seeded": lambda draw, shape, _: Seeded(Seed(7, 0.1), codes_of(draw, shape)),
    "sign": lambda draw, shape, _: Sign(BitMask.pack(bits_of(draw, shape)), scale_of(draw, shape)),
    "ternary": lambda draw, shape, _: ternary_of(draw, shape),
    "affine": lambda draw, shape, _: Affine(
        BitMask.pack(bits_of(draw, shape)), draw.standard_normal(4).astype(np.float32)
    ),
}


def weight_of(draw: Draw, shape: tuple[int, ...], dtype: str) -> Array:
    """Weights with some of the numbers that a sloppy rule gets wrong."""
    flat = draw.standard_normal(shape).reshape(-1)
    odd = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, -1e-45, 6e-8, -1e-40, 6e4, -3e38]
    places = draw.permutation(flat.size)[: len(odd)]
    flat[places] = odd[: len(places)]
    with np.errstate(over="ignore"):
        return flat.reshape(shape).astype(dtype_named(dtype))


def settled(kind: str, array: Array) -> Array:
    """Give every NaN that was computed the same bits, since no standard says which; a copied one keeps its own."""
    return array if kind in ("replace", "select") else np.where(np.isnan(array), array.dtype.type(np.nan), array)


def test_every_kind_of_a_file_is_in_the_table() -> None:
    assert MAKERS.keys() == KINDS.keys()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MAKERS)
def test_both_libraries_give_the_same_bytes(kind: str, dtype: str, shape: tuple[int, ...], as_bytes: Any) -> None:
    draw = np.random.default_rng(len(shape))
    entry, weight = MAKERS[kind](draw, shape, dtype), weight_of(draw, shape, dtype)
    given, before = tensor_of(weight), weight.tobytes()
    expected = as_bytes({"w": settled(kind, entry.apply(weight))})
    assert expected["w"][:2] == (dtype, shape)
    assert as_bytes({"w": settled(kind, array_of(applied(entry, given)))}) == expected
    out = torch.full_like(given, 7)
    write(entry, given, out)
    assert as_bytes({"w": settled(kind, array_of(out))}) == expected
    assert weight.tobytes() == before  # it is read, never written
    if weight.size or kind not in ("quantized", "seeded"):  # no file holds a code of no weights
        back = KINDS[kind].from_tensors(entry.tensors(), entry.shape)
        assert as_bytes({"w": settled(kind, back.apply(weight))}) == expected


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "replace"])
def test_a_weight_that_is_missing_or_of_another_shape_is_refused_alike(kind: str) -> None:
    entry = MAKERS[kind](np.random.default_rng(0), (2, 3), "float32")
    for weight in (None, np.ones((3, 2), np.float32)):
        said = []
        for apply in (entry.apply, lambda w: applied(entry, None if w is None else tensor_of(w))):
            with pytest.raises(ValueError, match=r"Expected a shared weight of shape \(2, 3\) to") as error:
                apply(weight)
            said.append(str(error.value))
        assert said[0] == said[1]


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "replace"])
def test_memory_of_another_shape_or_dtype_is_not_written(kind: str) -> None:
    entry, weight = MAKERS[kind](np.random.default_rng(0), (2, 3), "float32"), torch.ones(2, 3)
    for out in (torch.zeros(1, 3), torch.zeros(2, 3, dtype=torch.float64)):
        with pytest.raises(ValueError, match=r"argument `out` to be torch.float32 of shape \(2, 3\) on cpu"):
            write(entry, weight, out)
        assert not out.any()


def test_what_is_no_entry_is_refused() -> None:
    with pytest.raises(TypeError, match="Expected an entry of a kind that is known here, but got a str"):
        applied("select", None)  # type: ignore[arg-type]


def test_a_replaced_tensor_follows_the_shared_weights_device() -> None:
    assert applied(Replace(np.ones(2)), torch.ones(2, device="meta")).device.type == "meta"


@pytest.mark.parametrize("dtype", [*DTYPES, "bool", "int8", "uint8", "int64", "complex64", "float8_e4m3fn"])
@pytest.mark.parametrize("shape", [(), (0, 2), (3, 5)], ids=str)
def test_values_cross_without_a_copy(dtype: str, shape: tuple[int, ...], as_bytes: Any) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 2, shape)).astype(dtype_named(dtype))
    tensor = tensor_of(array)
    assert str(tensor.dtype) == f"torch.{dtype}"
    back = array_of(tensor)
    assert as_bytes({"w": back}) == as_bytes({"w": array})
    if array.size:
        assert tensor.data_ptr() == array.ctypes.data == back.ctypes.data


def test_a_gradient_does_not_cross() -> None:
    assert array_of(torch.nn.Parameter(torch.ones(2))).tolist() == [1.0, 1.0]


def delta() -> TaskDelta:
    draw = np.random.default_rng(1)
    entries = {kind: make(draw, (4, 3), "float32") for kind, make in MAKERS.items()}
    return TaskDelta({**entries, "head": Replace(np.ones(2, np.float32))})


def shared() -> dict[str, Array]:
    draw = np.random.default_rng(2)
    return {name: weight_of(draw, (4, 3), "float32") for name in (*MAKERS, "bias")}


def test_a_whole_task_is_the_same_in_both_libraries(as_bytes: Any) -> None:
    weights = {name: tensor_of(array) for name, array in shared().items()}
    found = task_weights(delta(), weights)
    assert as_bytes(found) == as_bytes(delta().apply(shared()))
    assert list(found) == [*MAKERS, "bias", "head"]
    assert found["bias"] is weights["bias"]
    out = {name: torch.full_like(tensor, 7) for name, tensor in found.items()}
    write_task(delta(), weights, out)
    assert as_bytes(out) == as_bytes(found)


def test_the_key_that_does_not_fit_is_named() -> None:
    expected = r"The task's entry for `select` does not fit this backbone: .*, but got none"
    with pytest.raises(DeltaError, match=expected):
        task_weights(TaskDelta({"select": delta().entries["select"]}), {})
