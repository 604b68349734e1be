"""PackNet: exact counts, owners whose weights never move, and who owns what."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stencilnet as sn
from stencilnet.bundle import TaskRecord
from stencilnet.delta import Replace, Select
from stencilnet.masks import NetState, Trainable, tensor_of
from stencilnet.methods import Finetune, Fresh, PackNet, QuantizedDelta, learn_first
from stencilnet.methods.packnet import pruned
from stencilnet.models import UNet
from stencilnet.models.unet import DECODER

CHANNELS = {"first": 3, "a": 2, "b": 4}
METHOD = PackNet(prune_first=0.4, prune=0.7)


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    torch.manual_seed(0)
    return UNet(width=2)


@pytest.fixture(scope="module")
def fresh(backbone: nn.Module, make_fresh: Any) -> dict[str, Fresh]:
    return {
        task: make_fresh(backbone, channels=count, seed=count, head="head", decoder=DECODER)
        for task, count in CHANNELS.items()
    }


@pytest.fixture(scope="module")
def fit(backbone: nn.Module, make_fit: Any) -> Any:
    return make_fit(backbone, seed=1, steps=10, lr=1e-2)


@pytest.fixture(scope="module")
def dense(fresh: dict[str, Fresh], fit: Any) -> NetState:
    return learn_first("first", fresh["first"], fit)


@pytest.fixture(scope="module")
def states(dense: NetState, fresh: dict[str, Fresh], fit: Any) -> list[NetState]:
    """After the first task, after `a`, after `b`."""
    found = [METHOD.adopt(dense, "first", fresh["first"], fit)]
    for task in ("a", "b"):
        found.append(METHOD.learn(found[-1], task, fresh[task], fit))
    return found


def selected(state: NetState, task: str, name: str) -> Tensor:
    entry = state.deltas[task].entries[name]
    assert isinstance(entry, Select)
    return tensor_of(entry.bits.unpack())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_exactly_the_smallest_of_a_layers_own_are_pruned(share: float) -> None:
    generator = torch.Generator().manual_seed(4)
    weights = {"one": torch.randn(5, 3, 2, generator=generator), "two": torch.randn(43, generator=generator)}
    weights["bias"] = torch.ones(3)
    own = {name: torch.rand(weights[name].shape, generator=generator) < 0.6 for name in ("one", "two")}
    before = {name: tensor.clone() for name, tensor in weights.items()}
    kept, left = pruned(weights, own, share)
    assert all(torch.equal(weights[name], before[name]) for name in weights)
    assert torch.equal(left["bias"], before["bias"])
    for name, bits in own.items():
        gone = (bits & ~kept[name]).numpy()
        sizes = np.abs(before[name].numpy())
        assert gone.sum() == round(share * int(bits.sum()))
        assert sizes[gone].max() < sizes[kept[name].numpy()].min()
        assert not (kept[name] & ~bits).any()
        np.testing.assert_array_equal(left[name].numpy(), np.where(gone, np.float32(0), before[name].numpy()))


def test_of_equal_weights_the_first_are_pruned() -> None:
    kept, _ = pruned({"w": torch.tensor([[2.0, -1.0], [1.0, 1.0]])}, {"w": torch.ones(2, 2, dtype=torch.bool)}, 0.5)
    assert kept["w"].tolist() == [[True, False], [False, True]]


def test_every_task_owns_what_pruning_leaves_it(states: list[NetState], fresh: dict[str, Fresh]) -> None:
    for name in fresh["first"].layout.masked:
        count = states[0].shared[name].numel()
        left = count
        before = torch.zeros_like(states[0].shared[name], dtype=torch.bool)
        for state, task, share in zip(states, CHANNELS, (0.4, 0.7, 0.7), strict=True):
            bits = selected(state, task, name)
            assert not (before & ~bits).any()  # a task runs on what those before it own
            own = int((bits & ~before).sum())
            assert own == left - round(share * left)
            left -= own
            before = bits
            assert not state.shared[name][~bits].any()  # what nobody owns is 0
        assert left > 0 or count < 10


def test_what_has_an_owner_never_moves(states: list[NetState], fresh: dict[str, Fresh]) -> None:
    masked = fresh["first"].layout.masked
    for earlier, later, task in zip(states, states[1:], ("first", "a"), strict=False):
        for name, weight in earlier.shared.items():
            bits = selected(earlier, task, name) if name in masked else torch.ones_like(weight, dtype=torch.bool)
            assert torch.equal(later.shared[name][bits], weight[bits])
        assert any(not torch.equal(later.shared[name], earlier.shared[name]) for name in masked)


def test_the_first_task_is_trained_on_after_pruning(states: list[NetState], dense: NetState) -> None:
    adopted = states[0]
    assert dense.deltas["first"].masks == {}
    for name, before in dense.shared.items():
        bits = selected(adopted, "first", name) if name.endswith("weight") else torch.ones_like(before) > 0
        assert not torch.equal(adopted.shared[name][bits], before[bits]) or name.endswith("bias")
    assert not torch.equal(adopted.shared["conv1_1.bias"], dense.shared["conv1_1.bias"])
    assert not torch.equal(adopted.weights("first")["head.weight"], dense.weights("first")["head.weight"])


def test_how_much_is_trained_when(dense: NetState, fresh: dict[str, Fresh]) -> None:
    asked = []

    def fit(trainable: Trainable, **how: float) -> Any:
        asked.append(how)
        return trainable

    method = PackNet(retrain=0.2, retrain_lr=0.5)
    method.learn(method.adopt(dense, "first", fresh["first"], fit), "a", fresh["a"], fit)
    assert asked == [{"share": 0.2, "lr_scale": 0.5}, {"share": 0.8}, {"share": 0.2, "lr_scale": 0.5}]


def test_running_statistics_are_each_tasks_own(make_fresh: Any, make_fit: Any) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    made = make_fresh(network, channels=3, seed=1, head="2", decoder=())
    fit, x = make_fit(network, steps=4), torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def output(state: NetState, task: str) -> Tensor:
        result: Tensor = torch.func.functional_call(network.eval(), state.weights(task), (x,))
        return result

    state = METHOD.adopt(learn_first("first", made, fit), "first", made, fit)
    before = output(state, "first")
    later = METHOD.learn(state, "a", made, fit)
    assert torch.equal(output(later, "first"), before)
    entries = later.deltas["a"].entries
    assert {n for n, e in entries.items() if isinstance(e, Replace)} == {*made.layout.buffers, "2.weight", "2.bias"}
    assert not torch.equal(later.weights("a")["1.running_mean"], later.shared["1.running_mean"])
    assert torch.equal(later.weights("a")["1.weight"], state.shared["1.weight"])


def test_a_removed_tasks_weights_are_free_where_no_later_task_uses_them(
    states: list[NetState], fresh: dict[str, Fresh], fit: Any
) -> None:
    name, last = "conv5_1.weight", states[2]
    without_last = METHOD.learn(last.remove("b"), "again", fresh["b"], fit)
    assert torch.equal(without_last.shared[name], METHOD.learn(states[1], "again", fresh["b"], fit).shared[name])
    own = selected(last, "b", name)
    without_middle = METHOD.learn(last.remove("a"), "more", fresh["a"], fit)
    assert torch.equal(without_middle.shared[name][own], last.shared[name][own])


def test_a_network_without_free_weights_is_refused(dense: NetState, fresh: dict[str, Fresh], fit: Any) -> None:
    tuned = Finetune().learn(dense, "b", fresh["b"], fit)
    for state, tasks in ((dense, "first"), (tuned, "first, b")):
        told = rf"free weights to learn 'a', but {tasks} use all\. Learn all tasks by packnet"
        with pytest.raises(ValueError, match=told):
            METHOD.learn(state, "a", fresh["a"], fit)


def test_a_quantised_task_uses_every_weight_and_one_over_seeded_weights_none(
    states: list[NetState], fresh: dict[str, Fresh], fit: Any, as_bytes: Any
) -> None:
    moved = QuantizedDelta().learn(states[0], "b", fresh["b"], fit)
    with pytest.raises(ValueError, match="free weights to learn 'a', but first, b use all"):
        METHOD.learn(moved, "a", fresh["a"], fit)
    seeded = QuantizedDelta(base="seed").learn(states[0], "b", fresh["b"], fit)
    after = METHOD.learn(seeded, "a", fresh["a"], fit)
    assert as_bytes(after.weights("a")) == as_bytes(states[1].weights("a"))
    assert as_bytes(after.shared) == as_bytes(states[1].shared)
    assert as_bytes(after.weights("b")) == as_bytes(seeded.weights("b"))


def test_a_bundle_keeps_who_owns_what(
    states: list[NetState], fresh: dict[str, Fresh], fit: Any, tmp_path: Path
) -> None:
    records = {task: TaskRecord(kind="colorization", channels=n, method="packnet") for task, n in CHANNELS.items()}
    net = sn.MultiTaskNet(UNet(width=2)).with_state(states[2], records)
    sn.save(net, tmp_path / "bundle")
    again = METHOD.learn(sn.load(tmp_path / "bundle").state, "c", fresh["a"], fit)
    expected = METHOD.learn(states[2], "c", fresh["a"], fit)
    assert all(torch.equal(tensor, expected.weights("c")[name]) for name, tensor in again.weights("c").items())
    bits = sum(-(-states[2].shared[name].numel() // 8) for name in fresh["a"].layout.masked)
    for task, delta in states[2].deltas.items():
        head = sum(delta.entries[name].nbytes for name in ("head.weight", "head.bias"))
        assert delta.nbytes == bits + head
        (file,) = (tmp_path / "bundle" / "tasks" / task).glob("*.safetensors")
        assert file.stat().st_size < bits + head + 4096  # the file's header


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"prune": 1.0}, r"`prune` to lie between 0 and 1, but got 1\.0"),
        ({"prune_first": 0.0, "retrain": 2.0}, r"`prune_first` to lie .* 0\.0; `retrain` to lie .* 2\.0"),
        ({"retrain_lr": 0.0}, "`retrain_lr` to be positive"),
    ],
)
def test_mistaken_settings_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"Expected PackNet's {told}"):
        PackNet(**wrong)
