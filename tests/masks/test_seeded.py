"""Weights that a number stands for: the generator's published answer, their distribution, and as a base of codes."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

from stencilnet.masks import Quantized, Seed, Seeded
from stencilnet.masks.seeded import philox


def test_the_generator_gives_its_authors_answer() -> None:
    """The known-answer test of Random123 (Salmon et al. 2011) for counter and key of zeros."""
    assert [f"{word:08x}" for word in philox(0, 4)] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


@pytest.mark.parametrize("seed", [0, 1, 0xDEADBEEF12345678, (1 << 64) - 1])
@pytest.mark.parametrize("count", [1, 5, 1000])
def test_the_first_words_do_not_depend_on_how_many_are_asked_for(seed: int, count: int) -> None:
    np.testing.assert_array_equal(philox(seed, count), philox(seed, 4000)[:count])
    assert len(np.unique(philox(seed, 4000))) > 3990


def test_weights_are_the_same_on_every_machine() -> None:
    weight = Seed.of(0, "conv1_1.weight", (64, 3, 3, 3)).weight((64, 3, 3, 3))
    assert hashlib.sha256(weight.numpy().tobytes()).hexdigest() == PINNED


PINNED = "623812a38850b48fba505bcffa2fbd4ed0f7052a3542dd77a94122bbaebb93d4"


def test_weights_are_uniform_within_the_bound_of_pytorchs_layers() -> None:
    shape = (128, 64, 3, 3)
    seed = Seed.of(3, "a.weight", shape)
    weight = seed.weight(shape)
    assert seed.bound == pytest.approx(1 / 24)
    assert weight.dtype == torch.float32
    assert float(weight.abs().max()) < seed.bound
    places = (weight / seed.bound).numpy().reshape(-1)
    counts, _ = np.histogram(places, bins=10, range=(-1, 1))
    assert np.abs(counts / places.size - 0.1).max() < 0.005
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.01
    assert not torch.equal(Seed.of(4, "a.weight", shape).weight(shape), weight)
    assert not torch.equal(Seed.of(3, "b.weight", shape).weight(shape), weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_seeded_weight_is_moved_by_steps(dtype: torch.dtype, as_bytes: Any) -> None:
    shape = torch.Size((5, 4, 3, 3))
    codes = torch.arange(180).remainder(7).sub(3).to(torch.int8).view(shape)
    one = Seeded(Seed.of(1, "w", tuple(shape)), Quantized(codes, torch.tensor(0.01)))
    expected = one.seed.weight(tuple(shape)).numpy() + np.float32(0.01) * codes.numpy().astype(np.float32)
    wanted = as_bytes({"w": torch.from_numpy(expected).to(dtype)})
    shared = torch.full(shape, 7.0, dtype=dtype)
    assert as_bytes({"w": one.apply(shared)}) == wanted
    out = torch.zeros_like(shared)
    one.write(shared, out)
    assert as_bytes({"w": out}) == wanted
    back = Seeded.from_tensors(one.tensors(), shape)
    assert as_bytes({"w": back.apply(shared)}) == wanted
    assert one.nbytes == sum(tensor.nbytes for tensor in one.tensors().values())
    with pytest.raises(ValueError, match="to take the place of, but got none"):
        one.apply(None)


@pytest.mark.parametrize("data", [torch.zeros(12, dtype=torch.uint8), torch.zeros(11, dtype=torch.uint8)])
def test_what_is_no_seed_is_refused(data: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="Expected a seed"):
        Seed.from_bytes(data)
