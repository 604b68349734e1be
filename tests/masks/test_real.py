"""Tasks before their scores are cut to bits, and what lies between two of them."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from stencilnet.delta import BitMask, Replace
from stencilnet.masks import THRESHOLD, Masks, RealTask, applied, between, tensor_of

SHAPES = {"a.weight": (8, 5, 3, 3), "b.weight": (40, 7)}


def scores(seed: int, spread: float = 0.02) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: THRESHOLD + spread * (torch.rand(shape, generator=generator) - 0.5) for name, shape in SHAPES.items()}


def task(seed: int, channels: int = 3) -> RealTask:
    generator = torch.Generator().manual_seed(seed + 100)
    head = {"head.weight": torch.randn((channels, 4), generator=generator), "bn.count": torch.tensor(seed)}
    return RealTask(scores(seed), head)


def bits(masks: Mapping[str, BitMask]) -> Tensor:
    return torch.cat([tensor_of(mask.unpack()).flatten() for mask in masks.values()])


def own(real: RealTask) -> dict[str, Tensor]:
    return {name: tensor_of(e.tensor) for name, e in real.delta().entries.items() if isinstance(e, Replace)}


def test_a_training_is_handed_out_before_its_scores_are_cut() -> None:
    shared = {name: torch.randn(shape) for name, shape in SHAPES.items()} | {"a.bias": torch.randn(8)}
    masks = Masks(shared, (), {"head.weight": torch.randn(3, 4)}, SHAPES, start=scores(1))
    real, delta = masks.real(), masks.delta()
    assert list(real.delta().entries) == list(delta.entries)
    for name, entry in delta.entries.items():
        assert torch.equal(applied(real.delta().entries[name], shared.get(name)), applied(entry, shared.get(name)))
    with torch.no_grad():
        masks.groups()["mask"][0].zero_()
    assert torch.equal(real.scores["a.weight"], scores(1)["a.weight"]), "a copy: what was handed out stays"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_are_the_tasks_themselves(share: float) -> None:
    ends = task(1), task(2)
    found, wanted = between(*ends, share), ends[int(share)]
    for name, real in wanted.scores.items():
        assert torch.equal(found.scores[name], real)
    for name, tensor in own(wanted).items():
        assert torch.equal(own(found)[name], tensor)


def test_where_both_agree_nothing_turns_over_and_elsewhere_each_bit_once() -> None:
    ends = task(1), task(2)
    line = torch.stack([bits(between(*ends, place / 10).delta().masks) for place in range(11)])
    turns = (line[1:] != line[:-1]).sum(dim=0)
    assert torch.equal(turns, (line[0] != line[-1]).long())
    assert all((line[place] != line[place + 1]).any() for place in range(10)), "a few at every step"


def test_heads_are_mixed_and_counts_are_the_nearer_ones() -> None:
    first, second = task(1), task(2)
    mixed = own(between(first, second, 0.25))
    wanted = 0.75 * first.own["head.weight"] + 0.25 * second.own["head.weight"]
    assert torch.allclose(mixed["head.weight"], wanted, atol=1e-6)
    assert mixed["bn.count"] == 1
    assert own(between(first, second, 0.5))["bn.count"] == 2


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`head\.weight` is torch\.float32 \(3, 4\) in the first and .* \(5, 4\)"):
        between(task(1), task(2, channels=5), 0.5)
    with pytest.raises(ValueError, match=r"`norm` is absent in the first and torch.float32 \(2,\) in the second"):
        between(task(1), RealTask(scores(2), {**task(2).own, "norm": torch.ones(2)}), 0.5)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="Expected argument `share` to be from 0 to 1"):
            between(task(1), task(2), share)
