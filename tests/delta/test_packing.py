"""One bit a weight, against numpy.packbits."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from stencilnet.delta import BitMask

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7))
deterministic = settings(max_examples=80, deadline=None, derandomize=True, database=None)


@deterministic
@given(masks)
def test_bytes_are_those_of_numpy_packbits(bits: NDArray[np.bool_]) -> None:
    mask = BitMask.pack(bits)
    expected = np.packbits(bits.reshape(-1), bitorder="little")
    assert mask.packed.tobytes() == expected.tobytes()
    assert mask.nbytes == expected.nbytes == -(-bits.size // 8)
    assert mask.numel == bits.size
    assert tuple(mask.shape) == bits.shape


@deterministic
@given(masks)
def test_unpack_inverts_pack(bits: NDArray[np.bool_]) -> None:
    unpacked = BitMask.pack(bits).unpack()
    assert unpacked.dtype == np.bool_
    assert tuple(unpacked.shape) == bits.shape
    np.testing.assert_array_equal(unpacked, bits)


@deterministic
@given(masks)
def test_zero_ratio_is_the_share_of_zeros(bits: NDArray[np.bool_]) -> None:
    expected = (bits.size - int(bits.sum())) / bits.size if bits.size else 0.0
    assert BitMask.pack(bits).zero_ratio == expected


@deterministic
@given(masks, st.data())
def test_one_flipped_bit_makes_another_mask(bits: NDArray[np.bool_], data: st.DataObject) -> None:
    mask = BitMask.pack(bits.copy())
    assert mask == BitMask.pack(bits.copy())
    if bits.size:
        other = bits.copy()
        position = data.draw(st.integers(0, bits.size - 1))
        other.reshape(-1)[position] ^= True
        assert mask != BitMask.pack(other)


def test_first_weight_is_the_least_significant_bit() -> None:
    mask = BitMask.pack(np.array([True, False, False, True, False, False, False, False, True]))
    assert mask.packed.tolist() == [0b00001001, 0b00000001]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 12])
def test_unused_bits_are_zero(count: int) -> None:
    mask = BitMask.pack(np.ones(count, bool))
    assert int(np.unpackbits(mask.packed).sum()) == count


def test_strided_bits_are_packed_in_logical_order() -> None:
    turned = (np.random.default_rng(0).random((3, 5, 2)) > 0.5).transpose(2, 0, 1)
    assert not turned.flags.c_contiguous
    assert BitMask.pack(turned) == BitMask.pack(turned.copy())
    np.testing.assert_array_equal(BitMask.pack(turned).unpack(), turned)


def test_bool_tensors_of_pytorch_are_packed_too() -> None:
    bits = np.random.default_rng(0).random((3, 5)) > 0.5
    assert BitMask.pack(torch.from_numpy(bits)) == BitMask.pack(bits)
    assert BitMask.pack(bits.tolist()) == BitMask.pack(bits)


def test_shape_counts_in_equality() -> None:
    ones = np.ones(6, bool)
    assert BitMask.pack(ones) != BitMask.pack(ones.reshape(2, 3))
    assert BitMask.pack(ones.reshape(3, 2)) != BitMask.pack(ones.reshape(2, 3))


def test_other_things_are_not_equal_and_masks_have_no_hash() -> None:
    mask = BitMask.pack(np.ones(3, bool))
    assert mask != "mask"
    assert mask != mask.packed.tolist()
    with pytest.raises(TypeError, match="unhashable"):
        hash(mask)


def test_copies_are_equal() -> None:
    mask = BitMask.pack(np.array([True, False, True]))
    assert copy.deepcopy(mask) == mask
    assert pickle.loads(pickle.dumps(mask)) == mask


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_only_bool_is_packed(dtype: str) -> None:
    expected = rf"Expected argument `bits` to be a bool array, but got {dtype}\. Threshold"
    for ones in (np.ones(3, dtype), torch.ones(3, dtype=getattr(torch, dtype))):
        with pytest.raises(TypeError, match=expected):
            BitMask.pack(ones)


@pytest.mark.parametrize(
    ("packed", "got"),
    [
        (np.zeros(2, np.int8), r"int8 of shape \(2,\)"),
        (np.zeros(1, np.uint8), r"uint8 of shape \(1,\)"),
        (np.zeros(3, np.uint8), r"uint8 of shape \(3,\)"),
        (np.zeros((2, 1), np.uint8), r"uint8 of shape \(2, 1\)"),
    ],
)
def test_packed_bits_must_fit_the_shape(packed: NDArray[np.uint8], got: str) -> None:
    expected = rf"Expected the packed bits of a \(3, 3\) mask to be uint8 of shape \(2,\), but got {got}\."
    with pytest.raises(ValueError, match=expected):
        BitMask(packed, (3, 3))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (8,), (9, 3), (16, 5, 3)])
def test_ones_are_counted_in_the_bytes(shape: tuple[int, ...]) -> None:
    bits = np.asarray(np.random.default_rng(1).random(shape) > 0.3)
    assert BitMask.pack(bits).ones == int(bits.sum())
    assert BitMask.pack(np.ones(shape, bool)).ones == bits.size
