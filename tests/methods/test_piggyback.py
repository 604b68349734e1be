"""Piggyback: what it stores, and the traps it warns of."""

import logging
import math
from typing import Any

import pytest
import torch
from torch import nn

from stencilnet.masks import NetState, Replace, Select
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
