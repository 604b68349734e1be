"""What a task says about one key."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stencilnet.masks import Affine, BitMask, Entry, Quantized, Replace, Seed, Seeded, Select, Sign, TaskDelta, Ternary

BITS = torch.tensor([[True, False, True], [False, True, True]])
FLIP = torch.tensor([[True, False, False], [False, False, True]])


def entries() -> list[Entry]:
    return [
        Replace(torch.arange(6.0).view(2, 3)),
        Select(BitMask.pack(BITS)),
        Sign(BitMask.pack(BITS), torch.tensor([[0.5], [2.0]])),
        Ternary(BitMask.pack(BITS), BitMask.pack(BITS & FLIP)),
        Affine(BitMask.pack(BITS), torch.tensor([0.5, 0.25, -1.0, 2.0])),
    ]


def test_kinds_are_the_names_in_the_file() -> None:
    assert [entry.KIND for entry in entries()] == ["replace", "select", "sign", "ternary", "affine"]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.KIND)
def test_stored_parts_rebuild_the_entry(entry: Entry) -> None:
    rebuilt = type(entry).from_tensors(entry.tensors(), entry.shape)
    weight = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rebuilt.apply(weight), entry.apply(weight))
    assert rebuilt.shape == entry.shape == torch.Size([2, 3])
    assert rebuilt.nbytes == entry.nbytes == sum(part.numpy().nbytes for part in entry.tensors().values())


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
    change = Quantized(torch.tensor([[0, -3, 127], [1, 0, -127]], dtype=torch.int8), torch.tensor(0.5))
    delta = TaskDelta({entry.KIND: entry for entry in [*entries(), change, Seeded(Seed(1, 0.5), change)]})
    found = delta.weight_codes
    assert {kind: (codes.kind, codes.neutral, codes.numel) for kind, codes in found.items()} == {
        "select": ("select", 1, 6),
        "ternary": ("ternary", 1, 6),
        "quantized": ("quantized", 0, 6),
    }
    assert all(codes.read().dtype == torch.int8 for codes in found.values())
    assert {kind: codes.read().tolist() for kind, codes in found.items()} == {
        "select": [[1, 0, 1], [0, 1, 1]],
        "ternary": [[-1, 0, 1], [0, 1, -1]],
        "quantized": [[0, -3, 127], [1, 0, -127]],
    }


def test_the_neutral_code_leaves_its_weight_as_it_is() -> None:
    weight = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    change = Quantized(torch.tensor([[0, -3, 127], [1, 0, -127]], dtype=torch.int8), torch.tensor(0.5))
    for entry in [*entries(), change]:
        if (codes := entry.weight_codes) is not None:
            still = codes.read() == codes.neutral
            assert torch.equal(entry.apply(weight) == weight, still), entry.KIND


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("entry", entries()[1:], ids=lambda entry: entry.KIND)
def test_what_is_written_is_what_apply_gives(entry: Entry, dtype: torch.dtype, as_bytes: Any) -> None:
    weight = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    out = torch.full_like(weight, 7)
    entry.write(weight, out)
    assert as_bytes({"w": out}) == as_bytes({"w": entry.apply(weight)})
    assert entry.apply(weight).dtype == dtype


def test_sign_against_numpy() -> None:
    weight = torch.tensor([[-1.0, 3.0, -0.0], [7.0, 2.0, -8.0]])
    moved = entries()[2].apply(weight)
    expected = weight.numpy() + np.array([[0.5], [2.0]], np.float32) * np.where(BITS.numpy(), 1, -1)
    np.testing.assert_array_equal(moved.numpy(), expected.astype(np.float32))


def test_replace_gives_its_own_tensor() -> None:
    own = torch.tensor([3.0, -0.0])
    assert Replace(own).apply(None) is own
    assert Replace(own).apply(torch.ones(2)) is own


def test_replace_follows_the_shared_weights_device() -> None:
    assert Replace(torch.ones(2)).apply(torch.ones(2, device="meta")).device.type == "meta"


def test_select_against_numpy() -> None:
    weight = torch.tensor([[-1.0, np.inf, -0.0], [np.nan, 2.0, -np.inf]])
    selected = Select(BitMask.pack(BITS)).apply(weight)
    expected = np.where(BITS.numpy(), weight.numpy(), np.float32(0))
    assert selected.numpy().tobytes() == expected.tobytes()


def test_ternary_against_numpy() -> None:
    weight = torch.tensor([[-1.0, np.inf, -0.0], [np.nan, 2.0, -8.0]])
    expected = np.where(BITS.numpy(), weight.numpy() * np.where(FLIP.numpy(), -1, 1), 0).astype(np.float32)
    assert entries()[3].apply(weight).numpy().tobytes() == expected.tobytes()


def test_affine_against_numpy() -> None:
    weight = torch.tensor([[-1.0, 3.0, -0.0], [7.0, 2.0, -8.0]])
    w, m = weight.numpy(), BITS.numpy().astype(np.float32)
    np.testing.assert_array_equal(entries()[4].apply(weight).numpy(), 0.5 * w + 0.25 - m + 2 * w * m)


@pytest.mark.parametrize(
    "scale",
    [torch.ones(2), torch.ones(3, 1), torch.ones(2, 3), torch.ones(2, 1).double(), torch.ones(1, 3, 1)],
    ids=["few dimensions", "other size", "two wide", "float64", "more dimensions"],
)
def test_steps_that_do_not_fit_are_refused(scale: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"scale of a \(2, 3\) weight to be float32, its shape 1 in every dimension but"
    ):
        Sign(BitMask.pack(BITS), scale)


def test_signs_need_a_weight_and_memory_of_its_shape() -> None:
    entry = entries()[2]
    with pytest.raises(ValueError, match=r"Expected a shared weight of shape \(2, 3\) to move, but got none\."):
        entry.apply(None)
    with pytest.raises(ValueError, match=r"argument `out` to be torch.float32 of shape \(2, 3\) on cpu, but got"):
        entry.write(torch.ones(2, 3), torch.ones(1, 3))


def test_a_flip_of_what_is_not_kept_is_refused() -> None:
    keep, flip, short = (BitMask.pack(torch.tensor(bits) > 0) for bits in ([1, 0, 1], [1, 1, 0], [1, 0]))
    for other in (flip, short):
        with pytest.raises(ValueError, match=r"Expected `flip` to hold only bits of `keep`, of shape \(3,\)"):
            Ternary(keep, other)


@pytest.mark.parametrize("k", [torch.ones(3), torch.ones(1, 4), torch.ones(4).double()])
def test_other_than_four_numbers_are_refused(k: Tensor) -> None:
    with pytest.raises(ValueError, match=r"numbers `k` of an affine mask to be float32 of shape \(4,\), but got"):
        Affine(BitMask.pack(BITS), k)


def test_select_keeps_the_weights_dtype() -> None:
    assert Select(BitMask.pack(BITS)).apply(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_select_does_not_write_the_shared_weight() -> None:
    weight = torch.ones(2, 3)
    Select(BitMask.pack(BITS)).apply(weight).add_(5)
    assert torch.equal(weight, torch.ones(2, 3))


def test_select_needs_a_weight() -> None:
    with pytest.raises(ValueError, match=r"Expected a shared weight of shape \(2, 3\) to select from, but got none\."):
        Select(BitMask.pack(BITS)).apply(None)


def test_select_needs_a_weight_of_its_shape() -> None:
    expected = r"Expected a shared weight of shape \(2, 3\) to select from, but got one of shape \(3, 2\)\."
    with pytest.raises(ValueError, match=expected):
        Select(BitMask.pack(BITS)).apply(torch.ones(3, 2))


def test_stored_tensor_must_have_the_declared_shape() -> None:
    with pytest.raises(ValueError, match=r"Expected a stored tensor of shape \(3,\), but got \(2,\)\."):
        Replace.from_tensors({"tensor": torch.ones(2)}, torch.Size([3]))


def test_stored_bits_must_fit_the_declared_shape() -> None:
    with pytest.raises(ValueError, match=r"packed bits of a \(9,\) mask to be uint8 of shape \(2,\)"):
        Select.from_tensors({"bits": torch.ones(1, dtype=torch.uint8)}, torch.Size([9]))


def test_unused_stored_bits_must_be_zero() -> None:
    expected = (
        r"the 5 unused bits of a \(3,\) mask's last byte to be zero, but got 0b10000111\. Were the bits packed most"
    )
    with pytest.raises(ValueError, match=expected):
        Select.from_tensors({"bits": torch.tensor([0b10000111], dtype=torch.uint8)}, torch.Size([3]))
