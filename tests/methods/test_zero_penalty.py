"""A price on zeros: its value and gradient by hand, and what it does to a mask."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stencilnet.bundle.tensors import encode_delta
from stencilnet.masks import INITIAL, Masks, NetState
from stencilnet.methods import Piggyback
from stencilnet.methods.zero_penalty import ZeroPenalty
from stencilnet.models import UNet
from stencilnet.models.unet import DECODER

WEIGHTS = {"a.weight": torch.tensor([1.0, -2.0, 0.0, 4.0]), "b.weight": torch.tensor([[-3.0], [5.0]])}


def run(weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    raise AssertionError("it looks at no images")


def masked(*below: tuple[str, int]) -> Masks:
    start = {name: torch.full(weight.shape, INITIAL) for name, weight in WEIGHTS.items()}
    for name, place in below:
        start[name].view(-1)[place] = -INITIAL
    return Masks(WEIGHTS, (), {"head.weight": torch.ones(1)}, tuple(WEIGHTS), start=start)


def test_the_value_is_the_share_of_weights_that_are_off() -> None:
    penalty = ZeroPenalty(WEIGHTS, price=3.0)
    assert penalty(masked().weights(), torch.empty(0), run).item() == 0
    found = penalty(masked(("a.weight", 1), ("b.weight", 0)).weights(), torch.empty(0), run)
    assert found.item() == pytest.approx(3.0 * 2 / 6)


def test_a_weight_of_zero_counts_for_neither() -> None:
    assert ZeroPenalty(WEIGHTS, price=3.0)(masked(("a.weight", 2)).weights(), torch.empty(0), run).item() == 0


def test_each_score_is_pulled_up_alike() -> None:
    masks = masked(("a.weight", 1))
    ZeroPenalty(WEIGHTS, price=3.0)(masks.weights(), torch.empty(0), run).backward()  # type: ignore[no-untyped-call]
    first, second = (real.grad for real in masks.groups()["mask"])
    torch.testing.assert_close(first, torch.tensor([-0.5, -0.5, 0.0, -0.5]))
    torch.testing.assert_close(second, torch.full((2, 1), -0.5))


def test_the_dearer_zeros_are_the_fewer_of_them_and_of_bytes(
    make_fit: Any, make_fresh: Any, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    backbone: nn.Module = UNet(width=2)
    state = NetState({n: t for n, t in backbone.state_dict().items() if not n.startswith("head.")})
    fresh = make_fresh(backbone, channels=3, seed=5, head="head", decoder=DECODER)
    zeros, sizes = [], []
    for price in (0.0, 0.1, 1e5):
        fit = make_fit(backbone, lr=1e-2, steps=12)
        delta = Piggyback(lr=1e-2, price=price).learn(state, "a", fresh, fit).deltas["a"]
        zeros.append(sum(mask.numel - int(mask.unpack().sum()) for mask in delta.masks.values()))
        sizes.append(len(encode_delta(delta)))
    assert zeros[0] > zeros[1] > zeros[2] == 0
    assert sizes[0] > sizes[1] > sizes[2]
    (warning,) = caplog.messages
    assert warning.endswith("train for more steps, or lower the price of zeros, 100000.")


def test_a_price_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`price` to be at least 0, but got -1\.0"):
        Piggyback(price=-1.0)
