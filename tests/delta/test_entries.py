"""What a task says about one key."""

import numpy as np
import pytest

from stencilnet.delta import Affine, BitMask, Entry, Quantized, Replace, Seed, Seeded, Select, Sign, TaskDelta, Ternary
from stencilnet.delta.spec import Array

BITS = np.array([[True, False, True], [False, True, True]])
FLIP = np.array([[True, False, False], [False, False, True]])
WEIGHT = np.array([[-1.0, 3.0, -0.0], [7.0, 2.0, -8.0]], np.float32)
ODD = np.array([[-1.0, np.inf, -0.0], [np.nan, 2.0, -np.inf]], np.float32)


def entries() -> list[Entry]:
    return [
        Replace(np.arange(6, dtype=np.float32).reshape(2, 3)),
        Select(BitMask.pack(BITS)),
        Sign(BitMask.pack(BITS), np.array([[0.5], [2.0]], np.float32)),
        Ternary(BitMask.pack(BITS), BitMask.pack(BITS & FLIP)),
        Affine(BitMask.pack(BITS), np.array([0.5, 0.25, -1.0, 2.0], np.float32)),
    ]


def change() -> Quantized:
    return Quantized(np.array([[0, -3, 127], [1, 0, -127]], np.int8), np.array(0.5, np.float32))


def test_kinds_are_the_names_in_the_file() -> None:
    assert [entry.KIND for entry in entries()] == ["replace", "select", "sign", "ternary", "affine"]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.KIND)
def test_stored_parts_rebuild_the_entry(entry: Entry) -> None:
    rebuilt = type(entry).from_tensors(entry.tensors(), entry.shape)
    assert rebuilt.apply(WEIGHT).tobytes() == entry.apply(WEIGHT).tobytes()
    assert rebuilt.shape == entry.shape == (2, 3)
    assert rebuilt.nbytes == entry.nbytes == sum(part.nbytes for part in entry.tensors().values())


def test_part_names() -> None:
    assert {entry.KIND: list(entry.tensors()) for entry in entries()} == {
        "replace": ["tensor"],
        "select": ["bits"],
        "sign": ["bits", "scale"],
        "ternary": ["keep", "flip"],
        "affine": ["bits", "k"],
    }
    assert [entry.PLANES for entry in entries()] == [(), ("bits",), ("bits",), ("keep", "flip"), ("bits",)]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.KIND)
def test_planes_are_packed_bits_of_the_weights_shape(entry: Entry) -> None:
    for plane in entry.PLANES:
        assert BitMask(entry.tensors()[plane], entry.shape).numel == 6


def test_what_is_kept() -> None:
    assert [entry.kept for entry in entries()] == [None, BitMask.pack(BITS), None, BitMask.pack(BITS), None]


def test_what_each_kind_says_about_a_weight() -> None:
    delta = TaskDelta({entry.KIND: entry for entry in [*entries(), change(), Seeded(Seed(1, 0.5), change())]})
    found = delta.weight_codes
    assert {kind: (codes.kind, codes.neutral, codes.numel) for kind, codes in found.items()} == {
        "select": ("select", 1, 6),
        "ternary": ("ternary", 1, 6),
        "quantized": ("quantized", 0, 6),
    }
    assert all(codes.read().dtype == np.int8 for codes in found.values())
    assert {kind: codes.read().tolist() for kind, codes in found.items()} == {
        "select": [[1, 0, 1], [0, 1, 1]],
        "ternary": [[-1, 0, 1], [0, 1, -1]],
        "quantized": [[0, -3, 127], [1, 0, -127]],
    }


def test_the_neutral_code_leaves_its_weight_as_it_is() -> None:
    weight = np.random.default_rng(0).standard_normal((2, 3), np.float32)
    for entry in [*entries(), change()]:
        if (codes := entry.weight_codes) is not None:
            still = codes.read() == codes.neutral
            assert np.array_equal(entry.apply(weight) == weight, still), entry.KIND


def test_sign_by_its_formula() -> None:
    expected = WEIGHT + np.array([[0.5], [2.0]], np.float32) * np.where(BITS, 1, -1)
    np.testing.assert_array_equal(entries()[2].apply(WEIGHT), expected.astype(np.float32))


def test_replace_gives_its_own_array() -> None:
    own = np.array([3.0, -0.0])
    assert Replace(own).apply(None) is own
    assert Replace(own).apply(np.ones(2)) is own


def test_replace_holds_an_array_of_numpy() -> None:
    with pytest.raises(TypeError, match=r"argument `tensor` to be a NumPy array, but got a list\. .*array_of converts"):
        Replace([1.0])  # type: ignore[arg-type]


def test_select_by_its_formula() -> None:
    assert Select(BitMask.pack(BITS)).apply(ODD).tobytes() == np.where(BITS, ODD, np.float32(0)).tobytes()


def test_ternary_by_its_formula() -> None:
    expected = np.where(BITS, np.where(FLIP, -ODD, ODD), np.float32(0))
    assert entries()[3].apply(ODD).tobytes() == expected.tobytes()


def test_affine_by_its_formula() -> None:
    expected = 0.5 * WEIGHT + 0.25 - BITS + 2 * WEIGHT * BITS
    np.testing.assert_array_equal(entries()[4].apply(WEIGHT), expected)


@pytest.mark.parametrize(
    "scale",
    [np.ones(2), np.ones((3, 1)), np.ones((2, 3)), np.ones((1, 3, 1))],
    ids=["few dimensions", "other size", "two wide", "more dimensions"],
)
def test_steps_that_do_not_fit_are_refused(scale: Array) -> None:
    expected = r"scale of a \(2, 3\) weight to be float32, its shape 1 in every dimension but"
    with pytest.raises(ValueError, match=expected):
        Sign(BitMask.pack(BITS), scale.astype(np.float32))
    with pytest.raises(ValueError, match=expected):
        Sign(BitMask.pack(BITS), np.ones((2, 1), np.float64))


def test_signs_need_a_weight() -> None:
    with pytest.raises(ValueError, match=r"Expected a shared weight of shape \(2, 3\) to move, but got none\."):
        entries()[2].apply(None)


def test_a_flip_of_what_is_not_kept_is_refused() -> None:
    keep, flip, short = (BitMask.pack(np.array(bits) > 0) for bits in ([1, 0, 1], [1, 1, 0], [1, 0]))
    for other in (flip, short):
        with pytest.raises(ValueError, match=r"Expected `flip` to hold only bits of `keep`, of shape \(3,\)"):
            Ternary(keep, other)


@pytest.mark.parametrize("k", [np.ones(3, np.float32), np.ones((1, 4), np.float32), np.ones(4)])
def test_other_than_four_numbers_are_refused(k: Array) -> None:
    with pytest.raises(ValueError, match=r"numbers `k` of an affine mask to be float32 of shape \(4,\), but got"):
        Affine(BitMask.pack(BITS), k)


def test_select_keeps_the_weights_dtype() -> None:
    assert Select(BitMask.pack(BITS)).apply(np.ones((2, 3), np.float16)).dtype == np.float16


def test_select_does_not_write_the_shared_weight() -> None:
    weight = np.ones((2, 3))
    Select(BitMask.pack(BITS)).apply(weight)[:] += 5
    assert np.array_equal(weight, np.ones((2, 3)))


def test_select_needs_a_weight() -> None:
    with pytest.raises(ValueError, match=r"Expected a shared weight of shape \(2, 3\) to select from, but got none\."):
        Select(BitMask.pack(BITS)).apply(None)


def test_select_needs_a_weight_of_its_shape() -> None:
    expected = r"Expected a shared weight of shape \(2, 3\) to select from, but got one of shape \(3, 2\)\."
    with pytest.raises(ValueError, match=expected):
        Select(BitMask.pack(BITS)).apply(np.ones((3, 2)))


def test_stored_tensor_must_have_the_declared_shape() -> None:
    with pytest.raises(ValueError, match=r"Expected a stored tensor of shape \(3,\), but got \(2,\)\."):
        Replace.from_tensors({"tensor": np.ones(2)}, (3,))


def test_stored_bits_must_fit_the_declared_shape() -> None:
    with pytest.raises(ValueError, match=r"packed bits of a \(9,\) mask to be uint8 of shape \(2,\)"):
        Select.from_tensors({"bits": np.ones(1, np.uint8)}, (9,))


def test_unused_stored_bits_must_be_zero() -> None:
    expected = (
        r"the 5 unused bits of a \(3,\) mask's last byte to be zero, but got 0b10000111\. Were the bits packed most"
    )
    with pytest.raises(ValueError, match=expected):
        Select.from_tensors({"bits": np.array([0b10000111], np.uint8)}, (3,))
