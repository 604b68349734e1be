"""What each of the paper's baselines stores, and where it starts from."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stencilnet.delta import Replace
from stencilnet.masks import NetState, Trainable
from stencilnet.methods import Decoder, Finetune, Fresh, Scratch
from stencilnet.models import UNet
from stencilnet.models.unet import DECODER

AsBytes = Callable[[Mapping[str, Tensor]], Any]


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    torch.manual_seed(0)
    return UNet(width=2)


@pytest.fixture(scope="module")
def state(backbone: nn.Module) -> NetState:
    return NetState({n: t for n, t in backbone.state_dict().items() if not n.startswith("head.")})


@pytest.fixture(scope="module")
def fresh(backbone: nn.Module, make_fresh: Any) -> Fresh:
    made: Fresh = make_fresh(backbone, channels=3, seed=5, head="head", decoder=DECODER)
    return made


def untrained(trainable: Trainable, **_: object) -> Any:
    return trainable


def tensors(state: NetState, task: str) -> dict[str, Tensor]:
    entries = state.deltas[task].entries
    assert all(isinstance(entry, Replace) for entry in entries.values())
    return {name: entry.tensors()["tensor"] for name, entry in entries.items()}


def test_scratch_stores_a_whole_network_from_fresh_weights(state: NetState, fresh: Fresh, as_bytes: AsBytes) -> None:
    learned = Scratch().learn(state, "a", fresh, untrained)
    assert as_bytes(tensors(learned, "a")) == as_bytes({**fresh.shared, **fresh.head})


def test_scratch_does_not_depend_on_the_shared_weights(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any, as_bytes: AsBytes
) -> None:
    other = NetState({name: tensor * 2 - 0.1 for name, tensor in state.shared.items()})
    fit = make_fit(backbone, seed=1)
    one, two = (Scratch().learn(start, "a", fresh, fit) for start in (state, other))
    assert as_bytes(tensors(one, "a")) == as_bytes(tensors(two, "a"))
    assert as_bytes(one.weights("a")) == as_bytes(two.weights("a"))


def test_decoder_starts_fresh_over_the_shared_encoder(state: NetState, fresh: Fresh, as_bytes: AsBytes) -> None:
    learned = Decoder().learn(state, "a", fresh, untrained)
    start = {name: fresh.shared[name] for name in fresh.layout.decoder}
    assert as_bytes(tensors(learned, "a")) == as_bytes({**start, **fresh.head})


def test_decoder_trains_the_decoder_and_leaves_the_encoder(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any, as_bytes: AsBytes
) -> None:
    learned = Decoder().learn(state, "a", fresh, make_fit(backbone, seed=1, steps=2))
    own, weights = tensors(learned, "a"), learned.weights("a")
    assert set(own) == {*fresh.layout.decoder, *fresh.layout.head}
    encoder = {name for name in state.shared if name.startswith(("conv1", "conv2", "conv3", "conv4", "conv5"))}
    assert {*encoder, *fresh.layout.decoder} == set(state.shared)
    assert as_bytes({name: weights[name] for name in encoder}) == as_bytes({n: state.shared[n] for n in encoder})
    moved = [name for name in fresh.layout.decoder if not torch.equal(weights[name], fresh.shared[name])]
    assert {name for name in fresh.layout.decoder if name.endswith("weight")} <= set(moved)


def test_decoder_needs_a_decoder(make_fresh: Any) -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1))
    fresh = make_fresh(backbone, channels=1, seed=0, head="1", decoder=())
    state = NetState({n: t for n, t in backbone.state_dict().items() if n not in fresh.head})
    expected = r"Expected a backbone with a decoder, but its `decoder` prefixes are empty\. Pass them\."
    with pytest.raises(ValueError, match=expected):
        Decoder().learn(state, "a", fresh, untrained)


def test_finetune_starts_from_the_shared_weights_and_keeps_a_head(
    state: NetState, fresh: Fresh, as_bytes: AsBytes
) -> None:
    learned = Finetune().learn(state, "a", fresh, untrained)
    assert as_bytes(learned.shared) == as_bytes(state.shared)
    assert as_bytes(tensors(learned, "a")) == as_bytes(fresh.head)


def test_finetune_trains_every_shared_weight(backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any) -> None:
    learned = Finetune().learn(state, "a", fresh, make_fit(backbone, seed=1, steps=2))
    assert list(learned.shared) == list(state.shared)
    weights = [name for name in state.shared if name.endswith("weight")]
    assert not any(torch.equal(learned.shared[name], state.shared[name]) for name in weights)
    assert set(learned.deltas["a"].entries) == set(fresh.head)


def test_moved_running_statistics_are_shared_too(make_fresh: Any, make_fit: Any) -> None:
    """Fine-tuning moves a batch-norm network whole; only the head is the task's own."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    fresh = make_fresh(backbone, channels=3, seed=1, head="2", decoder=())
    state = NetState({n: t.clone() for n, t in backbone.state_dict().items() if n not in fresh.layout.head})
    learned = Finetune().learn(state, "a", fresh, make_fit(backbone, steps=2))
    assert learned.shared["1.num_batches_tracked"].item() == 2
    assert state.shared["1.num_batches_tracked"].item() == 0
    assert not torch.equal(learned.shared["1.running_mean"], state.shared["1.running_mean"])
    assert set(learned.deltas["a"].entries) == {"2.weight", "2.bias"}
