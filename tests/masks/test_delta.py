"""A task as plain data: applied, checked, weighed."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from stencilnet.masks import BitMask, DeltaError, Entry, Replace, Select, TaskDelta

BITS = torch.tensor([[True, False], [False, True], [True, True]])


def shared() -> dict[str, Tensor]:
    return {"conv.weight": torch.full((3, 2), -2.0), "conv.bias": torch.ones(3), "steps": torch.tensor(4)}


def head() -> dict[str, Tensor]:
    return {"head.weight": torch.zeros(7, 3), "head.bias": torch.zeros(7)}


def entries() -> dict[str, Entry]:
    """A fitting delta with five outputs, by key."""
    return {
        "conv.weight": Select(BitMask.pack(BITS)),
        "steps": Replace(torch.tensor(9)),
        "head.weight": Replace(torch.ones(5, 3)),
        "head.bias": Replace(torch.ones(5)),
    }


def test_apply() -> None:
    weights = TaskDelta(entries()).apply(shared())
    assert list(weights) == ["conv.weight", "conv.bias", "steps", "head.weight", "head.bias"]
    assert weights["conv.weight"].tolist() == [[-2.0, 0.0], [0.0, -2.0], [-2.0, -2.0]]
    assert weights["conv.bias"].tolist() == [1.0, 1.0, 1.0]
    assert weights["steps"].item() == 9
    assert weights["head.weight"].shape == (5, 3)


def test_apply_reads_only(as_bytes: Callable[[Mapping[str, Tensor]], Any]) -> None:
    weights = shared()
    before, objects = as_bytes(weights), dict(weights)
    TaskDelta(entries()).apply(weights)
    assert as_bytes(weights) == before
    assert all(weights[name] is tensor for name, tensor in objects.items())


def test_untouched_keys_come_through_as_the_same_tensors() -> None:
    weights = shared()
    assert TaskDelta(entries()).apply(weights)["conv.bias"] is weights["conv.bias"]
    applied = TaskDelta({}).apply(weights)
    assert applied is not weights
    assert all(applied[name] is weights[name] for name in weights)


def test_apply_names_the_key_that_does_not_fit() -> None:
    expected = (
        r"The task's entry for `conv\.weight` does not fit this backbone: Expected a shared weight of shape \(2, 3\) "
        r"to select from, but got one of shape \(3, 2\)"
    )
    with pytest.raises(DeltaError, match=expected):
        TaskDelta({"conv.weight": Select(BitMask.pack(BITS.T))}).apply(shared())


def test_apply_refuses_to_select_from_nothing() -> None:
    with pytest.raises(DeltaError, match=r"entry for `other\.weight` does not fit .* but got none"):
        TaskDelta({"other.weight": Select(BitMask.pack(BITS))}).apply(shared())


def test_a_fitting_delta_passes_whatever_its_number_of_outputs() -> None:
    TaskDelta(entries()).check(shared(), head())


@pytest.mark.parametrize(
    ("key", "entry", "expected"),
    [
        (
            "conv.weight",
            Select(BitMask.pack(BITS.T)),
            r"Expected the delta's `conv\.weight` to have the shape \(3, 2\), but got \(2, 3\)\.",
        ),
        (
            "conv.bias",
            Replace(torch.ones(4)),
            r"Expected the delta's `conv\.bias` to have the shape \(3,\), but got \(4,\)",
        ),
        (
            "steps",
            Replace(torch.ones(1, dtype=torch.int64)),
            r"Expected the delta's `steps` to have the shape \(\), but got \(1,\)",
        ),
        ("head.weight", Replace(torch.ones(5, 4)), r"Expected the delta's `head\.weight` .* but got \(5, 4\)"),
        ("head.weight", Replace(torch.ones(5, 3, 1)), r"Expected the delta's `head\.weight` .* but got \(5, 3, 1\)"),
        ("head.bias", Replace(torch.tensor(1.0)), r"Expected the delta's `head\.bias` .* but got \(\)"),
        ("head.bias", Replace(torch.ones(5, 1)), r"Expected the delta's `head\.bias` .* but got \(5, 1\)"),
        (
            "conv.bias",
            Replace(torch.ones(3, dtype=torch.float64)),
            r"Expected the delta's `conv\.bias` to be torch\.float32, but got torch\.float64\.",
        ),
        (
            "head.bias",
            Replace(torch.ones(5, dtype=torch.float16)),
            r"Expected the delta's `head\.bias` to be torch\.float32, but got torch\.float16\.",
        ),
        (
            "conv2.weight",
            Select(BitMask.pack(BITS)),
            r"The delta has an entry for `conv2\.weight`, which this backbone lacks",
        ),
    ],
)
def test_a_foreign_delta_is_refused(key: str, entry: Entry, expected: str) -> None:
    with pytest.raises(DeltaError, match=expected):
        TaskDelta(entries() | {key: entry}).check(shared(), head())


def test_a_delta_without_its_whole_head_is_refused() -> None:
    fitting = entries()
    del fitting["head.bias"]
    with pytest.raises(DeltaError, match=r"Expected the delta to hold the task's whole head, but \['head\.bias'\] is"):
        TaskDelta(fitting).check(shared(), head())


def test_delta_error_is_a_value_error() -> None:
    assert issubclass(DeltaError, ValueError)


def test_masks_are_the_selecting_entries_in_order() -> None:
    other = BitMask.pack(~BITS)
    delta = TaskDelta(entries() | {"z.weight": Select(other), "a.weight": Select(other)})
    assert list(delta.masks) == ["conv.weight", "z.weight", "a.weight"]
    assert delta.masks["z.weight"] is other
    assert TaskDelta({}).masks == {}


def test_nbytes_is_the_sum_of_all_parts() -> None:
    assert TaskDelta(entries()).nbytes == 1 + 8 + 5 * 3 * 4 + 5 * 4
    assert TaskDelta({}).nbytes == 0
