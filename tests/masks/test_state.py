"""The network as a value: adding, removing and moving never change an older state."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stencilnet.delta import DeltaError, Replace, TaskDelta
from stencilnet.masks import NetState


def shared() -> dict[str, Tensor]:
    return {"weight": torch.arange(3.0)}


def delta(value: float) -> TaskDelta:
    return TaskDelta({"head": Replace(np.array([value]))})


def test_add_keeps_the_order_of_learning_and_the_older_state() -> None:
    empty = NetState(shared())
    one = empty.add("zebra", delta(1))
    two = one.add("ant", delta(2))
    assert [list(state.deltas) for state in (empty, one, two)] == [[], ["zebra"], ["zebra", "ant"]]
    assert two.shared is one.shared is empty.shared
    assert two.deltas["zebra"] is one.deltas["zebra"]


def test_add_never_writes_over_a_task() -> None:
    state = NetState(shared()).add("a", delta(1))
    with pytest.raises(DeltaError, match=r"Task `a` has been learned already\. Remove it first, or use another name\."):
        state.add("a", delta(2))
    assert state.weights("a")["head"].item() == 1


def test_remove_keeps_the_others_and_the_older_state() -> None:
    state = NetState(shared()).add("a", delta(1)).add("b", delta(2)).add("c", delta(3))
    fewer = state.remove("b")
    assert list(fewer.deltas) == ["a", "c"]
    assert list(state.deltas) == ["a", "b", "c"]
    assert all(fewer.deltas[task] is state.deltas[task] for task in fewer.deltas)
    assert fewer.shared is state.shared


def test_a_removed_name_is_free_again() -> None:
    state = NetState(shared()).add("a", delta(1)).add("b", delta(2)).remove("a").add("a", delta(3))
    assert list(state.deltas) == ["b", "a"]
    assert state.weights("a")["head"].item() == 3


def test_move_changes_what_tasks_run_on_but_not_the_older_state() -> None:
    state = NetState(shared()).add("a", delta(1))
    moved = state.move({"weight": torch.zeros(3)})
    assert moved.weights("a")["weight"].tolist() == [0.0, 0.0, 0.0]
    assert state.weights("a")["weight"].tolist() == [0.0, 1.0, 2.0]
    assert moved.deltas["a"] is state.deltas["a"]


def test_move_does_not_hold_on_to_the_callers_mapping() -> None:
    weights = shared()
    state = NetState({}).move(weights)
    weights["more"] = torch.ones(1)
    assert list(state.shared) == ["weight"]


def test_weights_are_the_shared_ones_and_the_tasks_own() -> None:
    state = NetState(shared()).add("a", delta(5))
    weights = state.weights("a")
    assert weights["weight"] is state.shared["weight"]
    assert weights["head"].tolist() == [5.0]


def test_an_unknown_task_is_named_beside_the_known_ones() -> None:
    state = NetState(shared()).add("a", delta(1)).add("b", delta(2))
    with pytest.raises(DeltaError, match=r"No task `c`\. Learned so far: a, b\."):
        state.weights("c")
    with pytest.raises(DeltaError, match=r"No task `c`\. Learned so far: a, b\."):
        state.remove("c")
    with pytest.raises(DeltaError, match=r"No task `a`\. Learned so far: none\."):
        NetState(shared()).weights("a")
