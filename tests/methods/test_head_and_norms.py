"""Head only, norm only, and norms of a masked task's own: what each stores, and what it leaves alone."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stencilnet.delta import Replace, Select
from stencilnet.masks import NetState, tensor_of
from stencilnet.methods import Fresh, HeadOnly, Method, NormOnly, Piggyback
from stencilnet.models import UNet

AsBytes = Callable[[Mapping[str, Tensor]], Any]


def batch_norm_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4),
        nn.Conv2d(4, 2, 1),
    )  # fmt: skip


BACKBONES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "unet": (lambda: UNet(width=2, norm="affine"), "head"),
    "batch norm": (batch_norm_net, "5"),
}


@pytest.fixture(params=list(BACKBONES.values()), ids=list(BACKBONES))
def start(request: pytest.FixtureRequest, make_fresh: Any) -> tuple[nn.Module, NetState, Fresh]:
    torch.manual_seed(0)
    build, head = request.param
    backbone = build()
    fresh = make_fresh(backbone, channels=3, seed=1, head=head, decoder=())
    shared = {name: tensor.clone() for name, tensor in backbone.state_dict().items() if name not in fresh.layout.head}
    return backbone, NetState(shared), fresh


def replaced(state: NetState) -> dict[str, Tensor]:
    entries = state.deltas["a"].entries
    return {name: tensor_of(entry.tensor) for name, entry in entries.items() if isinstance(entry, Replace)}


def test_head_only_stores_the_head_and_running_statistics(start: Any, make_fit: Any, as_bytes: AsBytes) -> None:
    backbone, state, fresh = start
    learned = HeadOnly().learn(state, "a", fresh, make_fit(backbone))
    own = replaced(learned)
    assert list(learned.deltas["a"].entries) == list(own) == [*fresh.layout.buffers, *fresh.layout.head]
    assert not any(torch.equal(own[name], fresh.head[name]) for name in fresh.head)
    weights = learned.weights("a")
    assert all(weights[name] is state.shared[name] for name in fresh.layout.parameters)


def test_norm_only_trains_every_scale_and_shift(start: Any, make_fit: Any) -> None:
    backbone, state, fresh = start
    learned = NormOnly().learn(state, "a", fresh, make_fit(backbone))
    own = replaced(learned)
    assert list(learned.deltas["a"].entries) == list(own)
    assert set(own) == {*fresh.layout.norms, *fresh.layout.buffers, *fresh.layout.head}
    assert not any(torch.equal(own[name], state.shared[name]) for name in fresh.layout.norms)
    weights = learned.weights("a")
    assert all(weights[name] is state.shared[name] for name in fresh.layout.masked)


def test_a_masked_task_may_have_norms_of_its_own(start: Any, make_fit: Any, as_bytes: AsBytes) -> None:
    backbone, state, fresh = start
    before = as_bytes(state.shared)
    plain, own = (
        Piggyback(lr=1e-2, norm=norm).learn(state, "a", fresh, make_fit(backbone, steps=3)) for norm in (False, True)
    )
    assert set(replaced(own)) - set(replaced(plain)) == set(fresh.layout.norms)
    assert not any(torch.equal(replaced(own)[name], state.shared[name]) for name in fresh.layout.norms)
    assert [name for name, e in own.deltas["a"].entries.items() if isinstance(e, Select)] == list(fresh.layout.masked)
    added = sum(state.shared[name].nbytes for name in fresh.layout.norms)
    assert own.deltas["a"].nbytes == plain.deltas["a"].nbytes + added
    assert as_bytes(state.shared) == as_bytes(own.shared) == before


def test_norms_start_from_the_backbones(start: Any, as_bytes: AsBytes) -> None:
    _, state, fresh = start
    for name in fresh.layout.norms:
        state.shared[name].uniform_(0.5, 1.5)
    methods: tuple[Method, ...] = (NormOnly(), Piggyback(norm=True))
    for method in methods:
        own = replaced(method.learn(state, "a", fresh, lambda trainable, **_: trainable))
        assert as_bytes({n: own[n] for n in fresh.layout.norms}) == as_bytes(
            {n: state.shared[n] for n in fresh.layout.norms}
        )


@pytest.mark.parametrize("method", [NormOnly(), Piggyback(norm=True)], ids=["norm_only", "piggyback"])
def test_a_backbone_without_scales_and_shifts_is_refused(method: Method, make_fresh: Any) -> None:
    backbone = UNet(width=1)
    fresh = make_fresh(backbone, channels=1, seed=0, head="head", decoder=())
    state = NetState({n: t for n, t in backbone.state_dict().items() if n not in fresh.head})
    expected = (
        r"backbone whose norms have scales and shifts to train, but it has none\. Build the U-Net with `norm: own`"
    )
    with pytest.raises(ValueError, match=expected):
        method.learn(state, "a", fresh, lambda trainable, **_: trainable)
