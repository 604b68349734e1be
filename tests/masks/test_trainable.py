"""One table of trainables over one table of backbones, one set of laws."""

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stencilnet.delta import BitMask, Replace, Select
from stencilnet.masks import (
    INITIAL,
    Free,
    Masks,
    NetState,
    Trainable,
    Weights,
    applied,
    arrays_of,
    specs_of,
    task_weights,
    tensor_of,
    warm_scores,
)
from stencilnet.methods import Fresh
from stencilnet.models import UNet
from stencilnet.models.unet import DECODER

CHANNELS = 5
AsBytes = Callable[[Mapping[str, Tensor]], Any]


def batch_norm_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=2),
        nn.BatchNorm2d(6, momentum=None),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 3, 2, stride=2),
        nn.Conv2d(3, 2, 1),
    )


def linear_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 3, 4, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(192, 7), nn.Tanh(), nn.Linear(7, 2, bias=False)
    )


@dataclass(frozen=True, kw_only=True)
class Backbone:
    build: Callable[[], nn.Module]
    head: str
    decoder: tuple[str, ...]


BACKBONES = {
    "unet": Backbone(build=lambda: UNet(width=2, channels=3), head="head", decoder=DECODER),
    "affine unet": Backbone(build=lambda: UNet(width=2, channels=3, norm="affine"), head="head", decoder=DECODER),
    "batch norm": Backbone(build=batch_norm_net, head="7", decoder=("6",)),
    "linear": Backbone(build=linear_net, head="5", decoder=("3",)),
}

Build = Callable[[Mapping[str, Tensor], Fresh], Trainable]


def masks(names: Callable[[Fresh], tuple[str, ...]]) -> Build:
    return lambda shared, fresh: Masks(shared, fresh.layout.buffers, fresh.head, names(fresh))


def weights(names: Callable[[Fresh], tuple[str, ...]]) -> Build:
    return lambda shared, fresh: Weights(shared, fresh.layout.buffers, fresh.head, names(fresh))


def free(names: Callable[[Fresh], tuple[str, ...]]) -> Build:
    """Two of three elements are free."""
    return lambda shared, fresh: Free(
        shared,
        fresh.layout.buffers,
        fresh.head,
        {name: (torch.arange(shared[name].numel()) % 3 > 0).view_as(shared[name]) for name in names(fresh)},
    )


TRAINABLES: dict[str, Build] = {
    "masks over all": masks(lambda fresh: fresh.layout.masked),
    "masks over some": masks(lambda fresh: fresh.layout.masked[1:]),
    "masks over none": masks(lambda fresh: ()),
    "masks and norms": lambda shared, fresh: Masks(
        shared, fresh.layout.buffers, fresh.head, fresh.layout.masked, fresh.layout.norms
    ),
    "weights all": weights(lambda fresh: fresh.layout.parameters),
    "weights of the decoder": weights(lambda fresh: fresh.layout.decoder),
    "weights none": weights(lambda fresh: ()),
    "free elements": free(lambda fresh: fresh.layout.parameters),
    "free elements of some": free(lambda fresh: fresh.layout.masked[1:]),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trainable over a backbone's weights, which are not those it was built with."""

    network: nn.Module
    shared: dict[str, Tensor]
    fresh: Fresh
    build: Build

    def trainable(self) -> Trainable:
        return self.build(self.shared, self.fresh)

    def head_of_backbone(self) -> dict[str, Tensor]:
        return {name: self.network.state_dict()[name] for name in self.fresh.layout.head}


@pytest.fixture(params=list(BACKBONES.values()), ids=list(BACKBONES))
def backbone(request: pytest.FixtureRequest) -> Backbone:
    chosen: Backbone = request.param
    return chosen


@pytest.fixture(params=list(TRAINABLES.values()), ids=list(TRAINABLES))
def case(request: pytest.FixtureRequest, backbone: Backbone, make_fresh: Callable[..., Fresh]) -> Case:
    torch.manual_seed(0)
    network = backbone.build()
    fresh = make_fresh(network, channels=CHANNELS, seed=1, head=backbone.head, decoder=backbone.decoder)
    shared = {n: t.clone() for n, t in network.state_dict().items() if n not in fresh.layout.head}
    for name in fresh.layout.buffers:  # statistics as if it had been trained
        shared[name] = shared[name] + 3 if "batches" in name else shared[name] + 0.5
    return Case(network=network, shared=shared, fresh=fresh, build=request.param)


def declared(trainable: Trainable) -> list[nn.Parameter]:
    return [parameter for group in trainable.groups().values() for parameter in group]


def test_delta_over_the_shared_weights_is_bit_equal_to_the_effective_weights(
    case: Case, make_fit: Any, as_bytes: AsBytes
) -> None:
    trainable = case.trainable()
    for _ in range(2):  # untrained, then trained
        found = task_weights(trainable.delta(), case.shared)
        assert as_bytes(found) == as_bytes(trainable.weights())
        assert as_bytes(trainable.delta().apply(arrays_of(case.shared))) == as_bytes(found)
        assert set(found) == set(case.network.state_dict())
        make_fit(case.network, steps=3, lr=2e-2)(trainable)


def test_an_untrained_trainable_is_the_backbone_with_the_new_head(case: Case, as_bytes: AsBytes) -> None:
    """All-ones bits, and weights at their start, change nothing."""
    trainable, x = case.trainable(), torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    plain = {**case.shared, **case.fresh.head}
    assert as_bytes(trainable.weights()) == as_bytes(plain)
    network = case.network.eval()
    expected = torch.func.functional_call(network, plain, (x,))
    assert torch.equal(torch.func.functional_call(network, trainable.weights(), (x,)), expected)


def test_only_declared_parameters_have_gradients(case: Case, make_fit: Any) -> None:
    trainable, network = case.trainable(), case.network.train()
    fit = make_fit(network, seed=2)
    fit.loss(torch.func.functional_call(network, trainable.weights(), (fit.images,))).backward()
    mine = {id(parameter) for parameter in declared(trainable)}
    assert len(mine) == len(declared(trainable))
    for name, parameter in trainable.named_parameters():
        assert parameter.requires_grad == (id(parameter) in mine), name
        assert (parameter.grad is not None) == (id(parameter) in mine), name
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(not tensor.requires_grad and tensor.grad is None for tensor in case.shared.values())


def test_training_never_writes_the_shared_weights(case: Case, make_fit: Any, as_bytes: AsBytes) -> None:
    before, network = as_bytes(case.shared), as_bytes(case.network.state_dict())
    trainable = case.trainable()
    optimizer = torch.optim.SGD(trainable.parameters(), lr=1.0, momentum=0.9, weight_decay=0.1)  # frozen ones too
    fit = make_fit(case.network, steps=3)(trainable)
    for parameter in declared(fit):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.step()
    assert as_bytes(case.shared) == before
    assert as_bytes(case.network.state_dict()) == network


def test_training_moves_every_group(case: Case, make_fit: Any) -> None:
    trainable = case.trainable()
    before = {role: [p.detach().clone() for p in group] for role, group in trainable.groups().items()}
    make_fit(case.network, steps=2)(trainable)
    for role, group in trainable.groups().items():
        moved = [not torch.equal(now, old) for now, old in zip(group, before[role], strict=True)]
        assert any(moved) or not group, role


def test_delta_fits_the_backbone_and_holds_the_whole_head(case: Case) -> None:
    delta = case.trainable().delta()
    delta.check(specs_of(case.shared), specs_of(case.head_of_backbone()))
    for name, tensor in case.fresh.head.items():
        entry = delta.entries[name]
        assert isinstance(entry, Replace)
        assert torch.equal(tensor_of(entry.tensor), tensor)


def test_delta_is_a_snapshot(case: Case, make_fit: Any, as_bytes: AsBytes) -> None:
    trainable = case.trainable()
    delta = trainable.delta()
    before = as_bytes(task_weights(delta, case.shared))
    make_fit(case.network, steps=2, lr=0.1)(trainable)
    assert as_bytes(task_weights(delta, case.shared)) == before


def test_nbytes_is_one_bit_a_masked_weight_and_the_rest_whole(case: Case) -> None:
    trainable = case.trainable()
    counts = [parameter.numel() for name, parameter in trainable.named_parameters() if name.startswith("_real.")]
    bits = sum((count + 7) // 8 for count in counts)
    whole = sum(p.numel() * 4 for role, group in trainable.groups().items() if role != "mask" for p in group)
    statistics = sum(case.shared[n].numel() * case.shared[n].element_size() for n in case.fresh.layout.buffers)
    delta = trainable.delta()
    assert delta.nbytes == bits + whole + statistics
    assert [mask.numel for mask in delta.masks.values()] == counts


def test_shared_weights_afterwards(case: Case, make_fit: Any, as_bytes: AsBytes) -> None:
    """Masks leave them as they were; weights put in what they trained, and the running statistics."""
    trainable = make_fit(case.network, steps=2)(case.trainable())
    after = trainable.shared()
    assert list(after) == list(case.shared)
    effective = {name: tensor for name, tensor in trainable.weights().items() if name in case.shared}
    expected = case.shared if isinstance(trainable, Masks) else effective
    assert as_bytes(after) == as_bytes({name: expected[name] for name in case.shared})
    held = {tensor.data_ptr() for tensor in [*case.shared.values(), *trainable.state_dict().values()]}
    assert held.isdisjoint(tensor.data_ptr() for tensor in after.values())


def test_a_copy_trains_apart(case: Case, make_fit: Any, as_bytes: AsBytes) -> None:
    trainable = case.trainable()
    before = as_bytes(trainable.weights())
    make_fit(case.network, steps=1)(copy.deepcopy(trainable))
    assert as_bytes(trainable.weights()) == before


def test_a_pickled_trainable_goes_on_as_the_same(case: Case, make_fit: Any, as_bytes: AsBytes) -> None:
    trainable = case.trainable()
    trainable.weights()
    keys = list(trainable.state_dict())
    again = pickle.loads(pickle.dumps(trainable))
    assert list(again.state_dict()) == keys  # what is kept from call to call is no state
    ours, theirs = (make_fit(case.network, steps=2)(one) for one in (trainable, again))
    assert as_bytes(ours.weights()) == as_bytes(theirs.weights())
    assert list(trainable.state_dict()) == keys


def test_loaded_tensors_are_seen(case: Case, make_fit: Any, as_bytes: AsBytes) -> None:
    trained = make_fit(case.network, steps=3, lr=2e-2)(case.trainable())
    other = case.trainable()
    other.weights()
    other.load_state_dict(trained.state_dict())
    assert as_bytes(other.weights()) == as_bytes(trained.weights())


def test_frozen_weights_are_the_states_own_memory(case: Case) -> None:
    trainable = case.trainable()
    frozen = [p for p in trainable.parameters() if not p.requires_grad and p.dtype != torch.bool]
    assert {p.data_ptr() for p in frozen} <= {tensor.data_ptr() for tensor in case.shared.values()}


def test_running_statistics_move_in_the_delta_alone(make_fresh: Any, make_fit: Any, as_bytes: AsBytes) -> None:
    torch.manual_seed(0)
    network = batch_norm_net()
    fresh = make_fresh(network, channels=CHANNELS, seed=1, head="7", decoder=())
    shared = {n: t for n, t in network.state_dict().items() if n not in fresh.layout.head}
    before = as_bytes(shared)
    masked = Masks(shared, fresh.layout.buffers, fresh.head, fresh.layout.masked)
    delta = make_fit(network, steps=3)(masked).delta()
    statistics = {name: applied(delta.entries[name], None) for name in fresh.layout.buffers}
    assert [name.rpartition(".")[2] for name in statistics] == 2 * [
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]
    assert statistics["1.num_batches_tracked"].item() == 3
    assert not torch.equal(statistics["1.running_mean"], shared["1.running_mean"])
    assert as_bytes(shared) == before
    assert list(delta.masks) == ["0.weight", "3.weight", "6.weight"]


def test_head_delta_is_the_head_alone(make_fresh: Any) -> None:
    network = batch_norm_net()
    fresh = make_fresh(network, channels=CHANNELS, seed=1, head="7", decoder=())
    shared = {n: t for n, t in network.state_dict().items() if n not in fresh.layout.head}
    delta = Weights(shared, fresh.layout.buffers, fresh.head, fresh.layout.parameters).head_delta()
    assert list(delta.entries) == ["7.weight", "7.bias"]


def test_roles() -> None:
    shared, head = {"a": torch.ones(2), "b": torch.ones(3)}, {"h": torch.ones(1)}
    assert {r: len(g) for r, g in Masks(shared, (), head, ("a",)).groups().items()} == {"mask": 1, "head": 1}
    assert {r: len(g) for r, g in Masks(shared, (), head, ("a",), ("b",)).groups().items()} == {
        "mask": 1,
        "norm": 1,
        "head": 1,
    }
    assert {r: len(g) for r, g in Weights(shared, (), head, ("a", "b")).groups().items()} == {"weight": 2, "head": 1}


def test_trained_weights_are_not_held_frozen_as_well() -> None:
    shared, head = {"a": torch.ones(2), "b": torch.ones(3)}, {"h": torch.ones(1)}
    trainable = Weights(shared, (), head, ("a",))
    assert sum(parameter.numel() for parameter in trainable.parameters()) == 2 + 3 + 1
    trainable = Masks(shared, (), head, ("a",), ("b",))
    assert sum(parameter.numel() for parameter in trainable.parameters()) == 2 + 2 + 3 + 1


def test_zeros_counts_what_is_switched_off() -> None:
    trainable = Masks({"a": torch.ones(2, 3)}, (), {"h": torch.ones(1)}, ("a",))
    assert trainable.zeros() == 0
    (real,) = trainable.groups()["mask"]
    with torch.no_grad():
        real[0] = torch.tensor([0.0, -1.0, 5e-3])
    assert trainable.zeros() == 3
    entry = trainable.delta().entries["a"]
    assert isinstance(entry, Select)
    assert entry.bits == BitMask.pack(torch.tensor([[False] * 3, [True] * 3]))


def test_flips_count_what_is_not_as_it_started() -> None:
    bits = BitMask.pack(torch.tensor([True, False, True, False]))
    shared, head = {"a": torch.ones(4)}, {"h": torch.ones(1)}
    cold, warm = Masks(shared, (), head, ("a",)), Masks(shared, (), head, ("a",), start=warm_scores({"a": bits}))
    for trainable, zeros in ((cold, 0), (warm, 2)):
        assert (trainable.flips(), trainable.zeros(), trainable.numel) == (0, zeros, 4)
        assert trainable.status() == {"mask/zeros": zeros / 4}
        (real,) = trainable.groups()["mask"]
        with torch.no_grad():
            real[0] -= 1
        assert (trainable.flips(), trainable.zeros()) == (1, zeros + 1)


def test_mask_gradient_is_that_of_a_leaf_weight_times_the_weight(backbone: Backbone, make_fresh: Any) -> None:
    """Through a whole network, bits on and off, against plain autograd with the effective weights as leaves."""
    torch.manual_seed(0)
    network = backbone.build()
    fresh = make_fresh(network, channels=CHANNELS, seed=1, head=backbone.head, decoder=())
    shared = {n: t for n, t in network.state_dict().items() if n not in fresh.layout.head}
    trainable = Masks(shared, fresh.layout.buffers, fresh.head, fresh.layout.masked)
    reals = dict(zip(fresh.layout.masked, trainable.groups()["mask"], strict=True))
    for real in reals.values():
        nn.init.uniform_(real, 0.0, 2 * INITIAL)
    x = torch.rand(2, 3, 32, 32)
    torch.func.functional_call(network, trainable.weights(), (x,)).square().mean().backward()

    plain = copy.deepcopy(network)
    head = plain.get_submodule(backbone.head)
    for name, tensor in fresh.head.items():
        setattr(head, name.rpartition(".")[2], nn.Parameter(tensor.clone()))
    with torch.no_grad():
        for name, real in reals.items():
            plain.get_parameter(name)[real <= 5e-3] = 0.0
    plain(x).square().mean().backward()
    for name, real in reals.items():
        leaf = plain.get_parameter(name).grad
        assert leaf is not None
        assert real.grad is not None
        torch.testing.assert_close(real.grad, leaf * shared[name], rtol=1e-5, atol=1e-9)


def test_real_masks_stay_float32_over_bf16_weights(make_fresh: Any, as_bytes: AsBytes) -> None:
    torch.manual_seed(0)
    network = linear_net().bfloat16()
    fresh = make_fresh(network, channels=CHANNELS, seed=1, head="5", decoder=())
    shared = {n: t for n, t in network.state_dict().items() if n not in fresh.layout.head}
    head = {name: tensor.bfloat16() for name, tensor in fresh.head.items()}
    trainable = Masks(shared, fresh.layout.buffers, head, fresh.layout.masked)
    output = torch.func.functional_call(network, trainable.weights(), (torch.rand(2, 3, 32, 32).bfloat16(),))
    output.square().mean().backward()
    for real in trainable.groups()["mask"]:
        assert real.dtype == torch.float32
        assert real.grad is not None
        assert real.grad.dtype == torch.float32
    assert trainable.weights()["0.weight"].dtype == torch.bfloat16
    assert as_bytes(task_weights(trainable.delta(), shared)) == as_bytes(trainable.weights())


def test_autocast_leaves_masks_in_float32_where_small_steps_count(make_fresh: Any) -> None:
    torch.manual_seed(0)
    network = batch_norm_net()
    fresh = make_fresh(network, channels=CHANNELS, seed=1, head="7", decoder=())
    shared = {n: t for n, t in network.state_dict().items() if n not in fresh.layout.head}
    trainable = Masks(shared, fresh.layout.buffers, fresh.head, fresh.layout.masked)
    reals = trainable.groups()["mask"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        effective = trainable.weights()
        output = torch.func.functional_call(network, effective, (torch.rand(2, 3, 32, 32),))
        loss = output.float().square().mean()
    loss.backward()
    torch.optim.Adam(reals, lr=1e-5).step()
    assert output.dtype == torch.bfloat16  # autocast was on
    assert all(effective[name].dtype == torch.float32 for name in fresh.layout.masked)
    for real in reals:
        assert real.dtype == torch.float32
        moved = (real.detach() - INITIAL).abs()
        assert moved.median().item() == pytest.approx(1e-5, rel=1e-3)  # in bfloat16, 0.01 - 1e-5 is 0.01


def test_laws_hold_through_a_state(make_fresh: Any, make_fit: Any, as_bytes: AsBytes) -> None:
    """The delta in a `NetState` gives the trained weights back, beside another task's."""
    torch.manual_seed(0)
    network = UNet(width=2)
    state = NetState({n: t for n, t in network.state_dict().items() if not n.startswith("head.")})
    trained = {}
    for task, seed in (("a", 1), ("b", 2)):
        fresh = make_fresh(network, channels=seed, seed=seed, head="head", decoder=())
        trainable = make_fit(network, seed=seed)(Masks(state.shared, (), fresh.head, fresh.layout.masked))
        state, trained[task] = state.add(task, trainable.delta()), as_bytes(trainable.weights())
    assert {task: as_bytes(state.weights(task)) for task in state.deltas} == trained
    assert trained["a"] != trained["b"]
