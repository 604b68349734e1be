"""A task as plain data: applied, checked, weighed."""

import numpy as np
import pytest

from stencilnet.delta import BitMask, DeltaError, Entry, Replace, Select, Spec, TaskDelta
from stencilnet.delta.spec import Array

BITS = np.array([[True, False], [False, True], [True, True]])


def shared() -> dict[str, Array]:
    return {"conv.weight": np.full((3, 2), -2, np.float32), "conv.bias": np.ones(3, np.float32), "steps": np.array(4)}


def specs() -> tuple[dict[str, Spec], dict[str, Spec]]:
    """What the backbone without its head, and its head, look like."""
    head = {"head.weight": Spec("float32", (7, 3)), "head.bias": Spec("float32", (7,))}
    return {name: Spec.of(array) for name, array in shared().items()}, head


def entries() -> dict[str, Entry]:
    """A fitting delta with five outputs, by key."""
    return {
        "conv.weight": Select(BitMask.pack(BITS)),
        "steps": Replace(np.array(9)),
        "head.weight": Replace(np.ones((5, 3), np.float32)),
        "head.bias": Replace(np.ones(5, np.float32)),
    }


def test_apply() -> None:
    weights = TaskDelta(entries()).apply(shared())
    assert list(weights) == ["conv.weight", "conv.bias", "steps", "head.weight", "head.bias"]
    assert weights["conv.weight"].tolist() == [[-2.0, 0.0], [0.0, -2.0], [-2.0, -2.0]]
    assert weights["conv.bias"].tolist() == [1.0, 1.0, 1.0]
    assert weights["steps"].item() == 9
    assert weights["head.weight"].shape == (5, 3)


def test_apply_reads_only() -> None:
    weights = shared()
    objects = dict(weights)
    TaskDelta(entries()).apply(weights)
    assert all(weights[name] is array for name, array in objects.items())
    assert {name: array.tobytes() for name, array in weights.items()} == {
        name: array.tobytes() for name, array in shared().items()
    }


def test_untouched_keys_come_through_as_the_same_arrays() -> None:
    weights = shared()
    assert TaskDelta(entries()).apply(weights)["conv.bias"] is weights["conv.bias"]
    applied = TaskDelta({}).apply(weights)
    assert applied is not weights
    assert all(applied[name] is weights[name] for name in weights)


def test_apply_refuses_what_are_no_arrays() -> None:
    with pytest.raises(TypeError, match=r"to hold NumPy arrays, but got list\. stencilnet\.masks\.task_weights"):
        TaskDelta(entries()).apply(shared() | {"conv.bias": [1.0]})  # type: ignore[dict-item]


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
    TaskDelta(entries()).check(*specs())


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
            Replace(np.ones(4, np.float32)),
            r"Expected the delta's `conv\.bias` to have the shape \(3,\), but got \(4,\)",
        ),
        (
            "steps",
            Replace(np.ones(1, np.int64)),
            r"Expected the delta's `steps` to have the shape \(\), but got \(1,\)",
        ),
        (
            "head.weight",
            Replace(np.ones((5, 4), np.float32)),
            r"Expected the delta's `head\.weight` .* but got \(5, 4\)",
        ),
        (
            "head.weight",
            Replace(np.ones((5, 3, 1), np.float32)),
            r"Expected the delta's `head\.weight` .* but got \(5, 3, 1\)",
        ),
        ("head.bias", Replace(np.array(1.0, np.float32)), r"Expected the delta's `head\.bias` .* but got \(\)"),
        ("head.bias", Replace(np.ones((5, 1), np.float32)), r"Expected the delta's `head\.bias` .* but got \(5, 1\)"),
        (
            "conv.bias",
            Replace(np.ones(3, np.float64)),
            r"Expected the delta's `conv\.bias` to be float32, but got float64\.",
        ),
        (
            "head.bias",
            Replace(np.ones(5, np.float16)),
            r"Expected the delta's `head\.bias` to be float32, but got float16\.",
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
        TaskDelta(entries() | {key: entry}).check(*specs())


def test_a_delta_without_its_whole_head_is_refused() -> None:
    fitting = entries()
    del fitting["head.bias"]
    with pytest.raises(DeltaError, match=r"Expected the delta to hold the task's whole head, but \['head\.bias'\] is"):
        TaskDelta(fitting).check(*specs())


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
