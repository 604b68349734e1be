"""Progressive networks: frozen columns, adapters against plain arithmetic, and what runs through what."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stencilnet as sn
from stencilnet.bundle import BundleError, TaskRecord, add_task, merge, remove_task, verify
from stencilnet.bundle.editing import replace_task
from stencilnet.delta import DeltaError, Replace, TaskDelta, column_key, lateral_key
from stencilnet.masks import NetState, Trainable, applied, array_of, arrays_of, task_weights
from stencilnet.methods import Fresh, Piggyback, Progressive, Scratch, learn_first
from stencilnet.models import MultiTaskNet, UNet
from stencilnet.models.columns import Columns
from stencilnet.models.unet import DECODER, LEVELS

FOUR = {"classes": list("wxyz"), "palette": [[0, 0, 0]] * 4}
CHANNELS = {"first": 3, "masked": 2, "a": 4, "b": 3}


@pytest.fixture(scope="module")
def backbone() -> UNet:
    torch.manual_seed(0)
    return UNet(width=2)


@pytest.fixture(scope="module")
def fresh(backbone: nn.Module, make_fresh: Any) -> dict[str, Fresh]:
    return {
        task: make_fresh(backbone, channels=count, seed=seed, head="head", decoder=DECODER)
        for seed, (task, count) in enumerate(CHANNELS.items())
    }


@pytest.fixture(scope="module")
def fit(backbone: nn.Module, make_fit: Any) -> Any:
    return make_fit(backbone, seed=1, steps=10, lr=1e-2)


@pytest.fixture(scope="module")
def state(fresh: dict[str, Fresh], fit: Any) -> NetState:
    """Four columns: the backbone, a mask over it, and two progressive ones."""
    state = learn_first("first", fresh["first"], fit)
    state = Piggyback(lr=1e-2).learn(state, "masked", fresh["masked"], fit)
    for task in ("a", "b"):
        state = Progressive().learn(state, task, fresh[task], fit)
    return state


@pytest.fixture
def net(backbone: UNet, state: NetState) -> MultiTaskNet:
    records = {task: TaskRecord(kind="x", channels=n, method="progressive") for task, n in CHANNELS.items()}
    return MultiTaskNet(UNet(width=2)).with_state(state, records)


def picture(height: int = 40, width: int = 33) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))


def test_a_task_needs_all_before_it_and_holds_a_whole_column(state: NetState, backbone: UNet) -> None:
    assert {task: delta.needs for task, delta in state.deltas.items()} == {
        "first": (),
        "masked": (),
        "a": ("first", "masked"),
        "b": ("first", "masked", "a"),
    }
    shapes = {key: tuple(tensor.shape) for key, tensor in backbone.state_dict().items()}
    own = {key for key in state.deltas["b"].entries if not key.startswith("lateral/")}
    assert own == set(shapes)
    adapters = {key: tuple(e.shape) for key, e in state.deltas["b"].entries.items() if key not in own}
    assert adapters == {
        lateral_key(task, level): (*shapes[f"{level}.weight"][:2], 1, 1)
        for task in ("first", "masked", "a")
        for level in LEVELS
    }
    trained = [e for key, e in state.deltas["b"].entries.items() if key in adapters and isinstance(e, Replace)]
    assert len(trained) == 24
    assert all(bool(entry.tensor.any()) for entry in trained)


def test_columns_before_are_frozen_and_a_column_starts_as_scratch_does(
    state: NetState, fresh: dict[str, Fresh], fit: Any, as_bytes: Any
) -> None:
    seen: list[Trainable] = []

    def watching(trainable: Trainable, **how: Any) -> Any:
        start = trainable.weights()
        before = {key: tensor.clone() for key, tensor in start.items() if key.startswith("column/")}
        assert as_bytes(before) == as_bytes(
            {
                column_key(task, key): tensor
                for task, delta in state.deltas.items()
                for key, tensor in task_weights(delta, state.shared).items()
            }
        )
        assert torch.equal(fit.run(start, picture()), fit.run(scratch, picture()))
        seen.append(fit(trainable, **how))
        moving = [key for key, tensor in trainable.weights().items() if tensor.requires_grad]
        assert not any(key.startswith("column/") for key in moving)
        assert as_bytes({key: trainable.weights()[key] for key in before}) == as_bytes(before)
        return trainable

    scratch = Scratch().learn(state, "c", fresh["b"], lambda trainable, **_: trainable).weights("c")
    Progressive().learn(state, "c", fresh["b"], watching)
    assert len(seen) == 1


def test_an_adapter_adds_what_its_column_is_given(state: NetState, net: MultiTaskNet) -> None:
    """Level by level by hooks on plain modules, which share no code with the columns."""
    image = picture(32, 48)
    inputs: dict[str, dict[str, Tensor]] = {}

    def module_of(task: str) -> nn.Module:
        module = UNet(width=2, channels=CHANNELS[task])
        delta = TaskDelta({k: e for k, e in state.deltas[task].entries.items() if not k.startswith("lateral/")})
        module.load_state_dict(task_weights(delta, state.shared))
        for level in LEVELS:
            layer = module.get_submodule(level)
            layer.register_forward_pre_hook(lambda _, x, level=level: inputs[task].update({level: x[0]}))
            layer.register_forward_hook(lambda _, __, out, level=level: out + adapted(task, level))
        return module.eval()

    def adapted(task: str, level: str) -> Tensor:
        total = torch.zeros(())
        for need in state.deltas[task].needs:
            entry = state.deltas[task].entries[lateral_key(need, level)]
            total = total + F.conv2d(inputs[need][level], applied(entry, None))
        return total

    for task in state.deltas:
        inputs[task] = {}
        with torch.no_grad():
            assert torch.allclose(module_of(task)(image), net(image, task), atol=1e-5)


def test_materialised_columns_are_the_task_bit_for_bit_from_two_threads_too(net: MultiTaskNet) -> None:
    modules = {task: net.materialize(task) for task in net.tasks}
    assert [type(module) for module in modules.values()] == [UNet, UNet, Columns, Columns]
    assert all(torch.equal(modules[task](picture()), net(picture(), task)) for task in net.tasks)
    module, expected = modules["b"], net(picture(), "b")
    found: list[bool] = []

    def work() -> None:
        found.extend(torch.equal(module(picture()), expected) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 10


def test_columns_are_no_module_to_switch_into_or_out_of(net: MultiTaskNet) -> None:
    with pytest.raises(ValueError, match="`b` runs through those of first, masked, a too"):
        net.switch(net.materialize("masked"), "b")
    with pytest.raises(ValueError, match="but got a Columns"):
        net.switch(net.materialize("b"), "masked")


def test_what_another_task_needs_is_not_removed(state: NetState) -> None:
    with pytest.raises(DeltaError, match="but a, b run through the column of `masked`"):
        state.remove("masked")
    assert list(state.remove("b").remove("a").remove("masked").deltas) == ["first"]


def test_a_missing_column_is_named(state: NetState, net: MultiTaskNet) -> None:
    torn = NetState(state.shared, {task: delta for task, delta in state.deltas.items() if task != "masked"})
    with pytest.raises(DeltaError, match="`a` needs the columns of other tasks, but there is no masked"):
        torn.weights("a")
    with pytest.raises(DeltaError, match="`a` needs the columns of other tasks, but there is no masked"):
        net.with_state(torn, {})(picture(), "a")


@pytest.mark.parametrize("left_out", ["first", "masked"])
def test_columns_that_run_through_others_come_after_them(state: NetState, net: MultiTaskNet, left_out: str) -> None:
    """A delta that nobody here makes: `b` without the adapters from what `a` needs."""
    entries = {k: e for k, e in state.deltas["b"].entries.items() if not k.startswith(f"lateral/{left_out}/")}
    torn = NetState(state.shared, {**state.deltas, "b": TaskDelta(entries)})
    with pytest.raises(DeltaError, match=f"Expected `b` to run through {left_out} before `a`, which needs them"):
        net.with_state(torn, {})(picture(), "b")


def test_a_column_for_another_backbone_is_refused(state: NetState) -> None:
    layers = OrderedDict(conv2_1=nn.Conv2d(3, 2, 1), head=nn.Conv2d(2, 3, 1))
    net = MultiTaskNet(nn.Sequential(layers), decoder=())
    head = {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(3, torch.Generator()).items()}
    column = TaskDelta({lateral_key("first", "conv2_1"): Replace(array_of(torch.zeros(2, 3, 1, 1))), **head})
    net = net.with_state(NetState(net.state.shared, {"first": TaskDelta(head), "a": column}), {})
    with pytest.raises(DeltaError, match=r"Expected a U-Net for `a`, .* but got a Sequential"):
        net(picture(), "a")


@pytest.mark.parametrize(
    ("key", "entry", "message"),
    [
        (lateral_key("first", "conv99_1"), Replace(array_of(torch.zeros(2, 2, 1, 1))), "that this backbone lacks"),
        (
            lateral_key("first", "conv2_1"),
            Replace(array_of(torch.zeros(2, 2, 3, 3))),
            r"tensor of shape \(4, 2, 1, 1\)",
        ),
        (lateral_key("first", "conv2_1"), Replace(array_of(torch.zeros(4, 2, 1, 1).double())), "a float32 tensor"),
    ],
)
def test_a_foreign_adapter_is_refused(net: MultiTaskNet, key: str, entry: Replace, message: str) -> None:
    with pytest.raises(DeltaError, match=message):
        net.check(TaskDelta({**net.deltas["first"].entries, key: entry}))


def test_a_backbone_without_levels_is_refused(make_fresh: Any, fit: Any) -> None:
    layers = OrderedDict(body=nn.Conv2d(3, 2, 3), head=nn.Conv2d(2, 2, 1))
    other = make_fresh(nn.Sequential(layers), channels=2, seed=0, head="head", decoder=())
    with pytest.raises(ValueError, match="a backbone with levels for progressive columns, but got one without"):
        Progressive().learn(NetState(other.shared), "a", other, fit)


def test_a_bundle_keeps_the_columns_together(net: MultiTaskNet, tmp_path: Path, as_bytes: Any) -> None:
    whole = tmp_path / "whole"
    sn.save(net, whole)
    assert verify(whole).ok
    loaded = sn.load(whole)
    assert all(torch.equal(loaded(picture(), task), net(picture(), task)) for task in net.tasks)
    assert torch.equal(sn.load(whole)(picture(), "b"), net(picture(), "b"))  # read first, before what it needs
    with pytest.raises(BundleError, match=r"other tasks run through its column.*but got a, b"):
        remove_task(whole, "masked")
    with pytest.raises(BundleError, match=r"other tasks run through its column.*but got b"):
        replace_task(whole, "a", net.records["a"], net.deltas["a"], shared=arrays_of(net.state.shared))
    remove_task(whole, "b")
    sn.save(net, whole)  # puts back what is missing
    assert torch.equal(sn.load(whole)(picture(), "b"), net(picture(), "b"))


def test_a_column_is_merged_with_what_it_runs_through(net: MultiTaskNet, tmp_path: Path) -> None:
    whole, small = tmp_path / "whole", tmp_path / "small"
    sn.save(net, whole)
    sn.save(net.with_state(NetState(net.state.shared, {"first": net.deltas["first"]}), net.records), small)
    before = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}
    with pytest.raises(BundleError, match=r"column of the task `masked`, which is missing .* but got no such task"):
        merge(small, [whole / "tasks" / "b", whole / "tasks" / "a"])
    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == before
    assert merge(small, [whole]).added == ("a", "b", "masked")
    assert torch.equal(sn.load(small)(picture(), "b"), net(picture(), "b"))


def test_a_column_that_was_learned_anew_is_noticed(
    net: MultiTaskNet, tmp_path: Path, state: NetState, fresh: dict[str, Fresh], fit: Any
) -> None:
    path = tmp_path / "bundle"
    sn.save(net, path)
    first = NetState(state.shared, {"first": state.deltas["first"]})
    other = Scratch().learn(first, "masked", fresh["masked"], fit)
    (path / "tasks" / "masked" / "task.json").unlink()  # by hand: the commands refuse it
    for file in (path / "tasks" / "masked").iterdir():
        file.unlink()
    (path / "tasks" / "masked").rmdir()
    add_task(path, "masked", net.records["masked"], other.deltas["masked"], shared=arrays_of(state.shared))
    with pytest.raises(BundleError, match="column of the task `masked`, which is missing or has changed"):
        sn.load(path)(picture(), "a")
    assert torch.equal(sn.load(path)(picture(), "first"), net(picture(), "first"))
    assert [finding.file.split("/")[-2] for finding in verify(path).findings] == ["a", "b"]


def test_an_engine_runs_columns_and_plain_tasks_in_turn(net: MultiTaskNet, tmp_path: Path) -> None:
    records = {task: TaskRecord(kind="restoration", channels=3, method="progressive") for task in ("first", "b")} | {
        "masked": TaskRecord(kind="colorization", channels=2, method="piggyback"),
        "a": TaskRecord(kind="segmentation", channels=4, method="x", settings=FOUR),
    }
    sn.save(net.with_state(net.state, records), tmp_path / "bundle")
    exact = sn.Engine(tmp_path / "bundle", active=1, backend="torch")
    near = sn.Engine(tmp_path / "bundle", active=1)
    for task in ("b", "masked", "first", "b", "a", "first"):
        expected = net(picture(), task)[0].detach()
        assert np.array_equal(exact.forward(picture()[0].numpy(), task), expected)
        np.testing.assert_allclose(near.forward(picture()[0].numpy(), task), expected, atol=1e-3)
