"""Multiply-adds against arithmetic by hand."""

import torch
from torch import nn

from stencilnet.models import UNet
from stencilnet.models.columns import Columns
from stencilnet.models.cost import multiply_adds


def by_hand(width: int, channels: int, side: int) -> int:
    """Of the paper's U-Net: pixels times weights, level by level."""
    w = width
    plan = [(3, w, w), (w, 2 * w, 2 * w), (2 * w, 4 * w, 4 * w), (4 * w, 8 * w, 8 * w), (8 * w, 8 * w, 8 * w)]
    total = sum((side >> k) ** 2 * 9 * (a * b + b * c) for k, (a, b, c) in enumerate(plan))
    for k, up, out in ((3, 8 * w, 4 * w), (2, 4 * w, 2 * w), (1, 2 * w, w), (0, w, w)):
        total += (side >> k) ** 2 * up * up + (side >> k) ** 2 * 9 * (2 * up * out + out * out)
    return total + side**2 * w * channels


def test_the_papers_network_costs_what_its_shapes_say() -> None:
    assert multiply_adds(UNet(width=4, channels=5), side=64) == by_hand(4, 5, 64)
    assert round(by_hand(64, 81, 256) / 1e9) == 32
    assert multiply_adds(UNet(width=64, channels=81)) == by_hand(64, 81, 256)


def test_the_module_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 16 * 16, 5))
    before = module[0].weight.clone()
    assert multiply_adds(module, side=16) == 16 * 16 * 9 * 6 + 512 * 5
    assert torch.equal(module[0].weight, before)


def test_columns_cost_all_of_them_and_their_adapters() -> None:
    adapters = {0: {"conv2_1": torch.zeros(4, 2, 1, 1)}}
    columns = Columns([UNet(width=2, channels=3), UNet(width=2, channels=1)], [{}, adapters])
    assert multiply_adds(columns, side=32) == by_hand(2, 3, 32) + by_hand(2, 1, 32) + 16 * 16 * 8
