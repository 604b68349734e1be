"""Backbones in fewer bytes: near what they were, exact from then on."""

from typing import Any

import numpy as np
import pytest

from stencilnet.delta import Seed
from stencilnet.delta.rounding import parts, rounded, seed_number, to_int8, whole
from stencilnet.delta.spec import Array, dtype_named
from stencilnet.masks import NetState, arrays_of, tensors_of

FORMS = ("float32", "float16", "int8", "seed:3")


def weights(scale: float = 1.0) -> dict[str, Array]:
    draw = np.random.default_rng(0)
    conv = np.float32(scale) * draw.standard_normal((16, 8, 3, 3), np.float32)
    conv[3] = 0
    conv[4] *= 1e-3
    return {
        "conv.weight": conv,
        "conv.bias": draw.standard_normal(16, np.float32),
        "norm.num_batches_tracked": np.array(7),
        "half.weight": draw.standard_normal((4, 4), np.float32).astype(dtype_named("bfloat16")),
    }


@pytest.mark.parametrize("stored", FORMS)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_what_is_stored_gives_the_rounded_weights_again(stored: Any, scale: float, as_bytes: Any) -> None:
    once = rounded(weights(scale), stored)
    assert as_bytes(rounded(once, stored)) == as_bytes(once)
    assert as_bytes(whole(parts(once, stored))) == as_bytes(once)
    for name in ("conv.bias", "norm.num_batches_tracked", "half.weight"):
        assert np.array_equal(once[name], weights(scale)[name])


@pytest.mark.parametrize("exponent", range(-126, 128, 7))
def test_int8_is_exact_at_every_size(exponent: int, as_bytes: Any) -> None:
    once = rounded({"w": np.ldexp(weights()["conv.weight"] / 8, exponent)}, "int8")
    assert as_bytes(whole(parts(once, "int8"))) == as_bytes(once)


def test_int8_is_within_half_a_step_of_each_row() -> None:
    conv = weights()["conv.weight"]
    codes, scale = to_int8(conv)
    steps = np.abs(conv).max(axis=(1, 2, 3), keepdims=True) / 127
    assert codes.dtype == np.int8
    assert scale.shape == (16, 1, 1, 1)
    error = np.abs(rounded({"w": conv}, "int8")["w"] - conv)
    assert (error <= 0.501 * steps).all()
    assert np.abs(codes).max(axis=(1, 2, 3)).tolist() == [0 if row == 3 else 127 for row in range(16)]


def test_bytes_by_form() -> None:
    conv = {"w": weights()["conv.weight"]}
    taken = {form: sum(t.nbytes for t in parts(rounded(conv, form), form).values()) for form in FORMS}  # type: ignore[arg-type]
    numel = 16 * 8 * 9
    assert taken == {"float32": 4 * numel, "float16": 2 * numel, "int8": numel + 4 * 16, "seed:3": 12 + 4 * 8}


def test_weights_that_moved_are_stored_whole(as_bytes: Any) -> None:
    state = NetState(tensors_of(weights())).round("int8")
    assert state.stored == "int8"
    assert as_bytes(arrays_of(state.shared)) == as_bytes(rounded(weights(), "int8"))
    assert state.move(tensors_of(weights())).stored == "float32"
    with pytest.raises(ValueError, match=r"rounded to int8, but `conv\.weight` was not, or has changed since"):
        parts(weights(), "int8")


@pytest.mark.parametrize(("value", "stored"), [(7e4, "float16"), (float("nan"), "int8"), (float("inf"), "int8")])
def test_numbers_that_a_form_cannot_hold_are_refused(value: float, stored: Any) -> None:
    with pytest.raises(ValueError, match=f"`w` to hold finite numbers that {stored} can hold"):
        rounded({"w": np.full((2, 2), value, np.float32)}, stored)


@pytest.mark.parametrize(
    "stored",
    [
        {"w:scale": np.ones((2, 1), np.float32)},
        {"w": np.zeros((2, 2), np.float32), "w:scale": np.ones((2, 1), np.float32)},
        {"w": np.zeros((2, 2), np.int8), "w:scale": np.ones(2, np.float32)},
    ],
)
def test_scales_without_their_codes_are_refused(stored: dict[str, Array]) -> None:
    with pytest.raises(ValueError, match="Expected `w:scale` to be float32 scales"):
        whole(stored)


def test_a_number_stands_for_weights_of_two_or_more_dimensions() -> None:
    found = rounded(weights(), "seed:3")
    assert np.array_equal(found["conv.weight"], Seed.of(3, "conv.weight", (16, 8, 3, 3)).weight((16, 8, 3, 3)))
    assert not np.array_equal(found["conv.weight"], rounded(weights(), "seed:4")["conv.weight"])
    assert [seed_number(form) for form in FORMS] == [None, None, None, 3]


@pytest.mark.parametrize(
    "stored", ["int4", "seed", "seed:", "seed:-1", "seed:01", "seed:1.0", "seed:" + "9" * 20, 3, None]
)
def test_unknown_forms_are_refused(stored: Any) -> None:
    with pytest.raises(ValueError, match=r"stored as float32, float16, int8 or seed:N .*, but got"):
        rounded(weights(), stored)


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (None, r"`w:shape` to hold 2 to 64 sizes.* but got none"),
        (np.array([2.0, 2.0]), r"`w:shape` to hold 2 to 64 sizes.* but got float64"),
        (np.array([2, 0]), r"but got \(2, 0\)"),
        (np.array([2**20, 2**20]), f"at most {2**28} weights, but got {2**40}"),
    ],
)
def test_seeds_without_a_fitting_shape_are_refused(shape: Array | None, problem: str) -> None:
    seed = {"w:seed": Seed(1, 0.5).to_bytes()}
    with pytest.raises(ValueError, match=problem):
        whole(seed if shape is None else seed | {"w:shape": shape})
