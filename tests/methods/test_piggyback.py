"""Piggyback: what it stores, and the traps it warns of."""

import logging
import math
from typing import Any, Literal

import pytest
import torch
from torch import nn

from stencilnet.masks import NetState, Replace, Select, Sign
from stencilnet.methods import Fresh, Piggyback
from stencilnet.models import UNet
from stencilnet.models.unet import DECODER


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


def zeros(state: NetState, task: str) -> int:
    return sum(mask.numel - int(mask.unpack().sum()) for mask in state.deltas[task].masks.values())


def test_a_mask_for_every_weight_and_a_whole_head(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any
) -> None:
    delta = Piggyback(lr=1e-2).learn(state, "a", fresh, make_fit(backbone)).deltas["a"]
    assert list(delta.masks) == [name for name in state.shared if name.endswith("weight")]
    assert {name for name, entry in delta.entries.items() if isinstance(entry, Replace)} == {"head.weight", "head.bias"}
    assert all(isinstance(entry, Select | Replace) for entry in delta.entries.values())
    assert any(mask.zero_ratio > 0 for mask in delta.masks.values())


def test_biases_stay_the_backbones(backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any) -> None:
    weights = Piggyback(lr=1e-2).learn(state, "a", fresh, make_fit(backbone)).weights("a")
    assert all(weights[name] is state.shared[name] for name in state.shared if name.endswith("bias"))


def test_an_all_ones_mask_is_warned_of(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The dead zone: a short run at a small rate looks trained, for the head is, and selects everything."""
    with caplog.at_level(logging.WARNING):
        learned = Piggyback(lr=1e-4).learn(state, "gogh", fresh, make_fit(backbone, lr=1e-4, steps=4))
    assert zeros(learned, "gogh") == 0
    (record,) = caplog.records
    assert record.name == "stencilnet.methods.piggyback"
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert "The finished mask of task `gogh` is all ones" in message
    assert "only the head was learned" in message
    assert "lr = 0.0001 a step" in message
    assert "Raise the mask's lr (1e-3 for a small budget) or train for more steps." in message


def test_a_mask_with_zeros_is_not(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        learned = Piggyback(lr=1e-2).learn(state, "gogh", fresh, make_fit(backbone, lr=1e-2, steps=4))
    assert zeros(learned, "gogh") > 0
    assert not caplog.records


def test_sgd_cannot_cross_the_gap_and_adam_can(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any
) -> None:
    """Scores' gradients are as small as the weights: at one rate, Adam crosses and SGD stays where it was."""

    method = Piggyback(lr=1e-2)
    by_sgd = method.learn(state, "a", fresh, make_fit(backbone, lr=1e-2, steps=8, optimizer=torch.optim.SGD))
    by_adam = method.learn(state, "a", fresh, make_fit(backbone, lr=1e-2, steps=8))
    assert zeros(by_sgd, "a") == 0
    assert zeros(by_adam, "a") > 1000


@pytest.mark.parametrize("lr", [0.0, -1e-3, math.nan])
def test_the_rate_must_be_positive(lr: float) -> None:
    with pytest.raises(ValueError, match=rf"Expected the masks' `lr` to be positive, but got {lr}\."):
        Piggyback(lr=lr)


def test_the_default_rate_is_the_originals() -> None:
    assert Piggyback().lr == 1e-4


def kinds(state: NetState, task: str) -> set[str]:
    entries = state.deltas[task].entries
    return {entries[name].KIND for name in state.shared if name.endswith("weight")}


def test_signs_are_stored_with_a_step_a_channel(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any
) -> None:
    delta = Piggyback(lr=1e-2, mask="sign").learn(state, "a", fresh, make_fit(backbone)).deltas["a"]
    assert delta.masks == {}
    for name in fresh.layout.masked:
        entry, weight = delta.entries[name], state.shared[name]
        assert isinstance(entry, Sign)
        channels = weight.shape[1 if name.startswith("up") else 0]
        assert entry.scale.numel() == channels
        assert entry.scale.shape[1 if name.startswith("up") else 0] == channels
        start = 0.1 * float(weight.abs().mean())
        assert bool((entry.scale - start).abs().max() > 0)  # trained, and at most 4 steps of 1 % away
        torch.testing.assert_close(entry.scale, torch.full_like(entry.scale, start), rtol=0.05, atol=0)
        assert not torch.equal(entry.bits.unpack(), weight >= 0)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ("sign", "as it started, "),
        ("ternary", "all ones: it selects the whole backbone, "),
        ("affine", "as it started, "),
    ],
)
def test_an_unflipped_mask_of_any_form_is_warned_of(
    mask: Literal["sign", "ternary", "affine"],
    words: str,
    backbone: nn.Module,
    state: NetState,
    fresh: Fresh,
    make_fit: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for lr, warnings in ((1e-2, 0), (1e-4, 1)):
        with caplog.at_level(logging.WARNING):
            learned = Piggyback(lr=lr, mask=mask).learn(state, "gogh", fresh, make_fit(backbone, lr=lr, steps=4))
        assert kinds(learned, "gogh") == {mask}
        assert len(caplog.records) == warnings
    assert f"The finished mask of task `gogh` is {words}and only the head was learned." in caplog.text


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected `mask` to be binary, sign, ternary or affine, but got 'soft'\."):
        Piggyback(mask="soft")  # type: ignore[arg-type]
