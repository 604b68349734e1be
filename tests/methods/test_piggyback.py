"""Piggyback: what it stores, and the traps it warns of."""

import dataclasses
import logging
import math
from typing import Any

import pytest
import torch
from torch import nn

from stencilnet.delta import Replace, Select
from stencilnet.masks import NetState, tensor_of
from stencilnet.methods import Fresh, HeadOnly, Piggyback
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
    assert "The final mask of task `gogh` is all ones" in message
    assert "only the head was learned" in message
    assert "lr = 0.0001 per step" in message
    assert "Raise the mask's lr (1e-3 for few steps) or train for more steps." in message


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


def test_a_warm_start_has_the_bits_of_the_earlier_task(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any
) -> None:
    earlier = Piggyback(lr=1e-2).learn(state, "a", fresh, make_fit(backbone))
    method = Piggyback(lr=1e-2, warm_start="a")
    untrained = method.learn(earlier, "b", fresh, lambda trainable, **_: trainable)
    assert untrained.deltas["b"].masks == earlier.deltas["a"].masks
    assert zeros(untrained, "b") > 1000
    trained = method.learn(earlier, "b", fresh, make_fit(backbone, seed=3))
    assert trained.deltas["b"].masks != earlier.deltas["a"].masks
    itself = method.learn(state, "a", fresh, lambda trainable, **_: trainable)
    assert zeros(itself, "a") == 0


def test_a_warm_start_takes_the_head_along_if_it_fits(
    backbone: nn.Module, state: NetState, fresh: Fresh, make_fit: Any, make_fresh: Any
) -> None:
    def head(learned: NetState, task: str) -> dict[str, torch.Tensor]:
        return {n: tensor_of(e.tensor) for n, e in learned.deltas[task].entries.items() if isinstance(e, Replace)}

    earlier = Piggyback(lr=1e-2).learn(state, "a", fresh, make_fit(backbone))
    method = Piggyback(warm_start="a")
    taken = head(method.learn(earlier, "b", fresh, lambda trainable, **_: trainable), "b")
    assert all(torch.equal(tensor, head(earlier, "a")[name]) for name, tensor in taken.items())
    other: Fresh = make_fresh(backbone, channels=5, seed=6, head="head", decoder=DECODER)
    unfit = head(method.learn(earlier, "c", other, lambda trainable, **_: trainable), "c")
    assert all(torch.equal(tensor, other.head[name]) for name, tensor in unfit.items())
    itself = head(method.learn(state, "a", fresh, lambda trainable, **_: trainable), "a")
    assert all(torch.equal(tensor, fresh.head[name]) for name, tensor in itself.items())


def test_a_warm_start_needs_a_mask(state: NetState, fresh: Fresh) -> None:
    headed = HeadOnly().learn(state, "a", fresh, lambda trainable, **_: trainable)
    for name, got in (("a", "'a' has none"), ("x", "'x' does not exist")):
        with pytest.raises(ValueError, match=rf"earlier task with a mask, but {got}\. Learned so far: a\."):
            Piggyback(warm_start=name).learn(headed, "b", fresh, lambda trainable, **_: trainable)


def test_an_unflipped_warm_start_is_warned_of(
    state: NetState, fresh: Fresh, make_fit: Any, backbone: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = Piggyback(lr=1e-2).learn(state, "a", fresh, make_fit(backbone))
    with caplog.at_level(logging.WARNING):
        Piggyback(warm_start="a").learn(earlier, "b", fresh, lambda trainable, **_: trainable)
    assert "The final mask of task `b` is unchanged, and only the head was learned." in caplog.text


@pytest.mark.parametrize("lr", [0.0, -1e-3, math.nan])
def test_the_rate_must_be_positive(lr: float) -> None:
    with pytest.raises(ValueError, match=rf"Expected Piggyback's `lr` to be positive, but got {lr}\."):
        Piggyback(lr=lr)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"`lr` to be positive, but got -1\.0; `price` to be at least 0, but got -2\.0"
    ):
        Piggyback(lr=-1.0, price=-2.0)


def test_settings_and_defaults_are_pinned() -> None:
    pinned = {"lr": 1e-4, "norm": False, "warm_start": None, "start": "constant", "price": 0.0}
    assert dataclasses.asdict(Piggyback()) == pinned


def test_scores_start_by_weight_if_asked_to(state: NetState, fresh: Fresh) -> None:
    real = Piggyback(start="weight").trainable(state, "a", fresh).real()
    for name, scores in real.scores.items():
        sizes = state.shared[name].abs()
        torch.testing.assert_close(scores, 5e-3 + 5e-3 * sizes / sizes.mean())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"start": "uniform"}, r"`start` to be one of constant, weight, but got 'uniform'"),
        ({"start": "weight", "warm_start": "a"}, r"`start: weight` or `warm_start`, not both"),
    ],
)
def test_starts_that_there_are_not(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"Expected Piggyback's {problem}"):
        Piggyback(**settings)
