"""Weights that a number stands for: the generator's published answer, their distribution, and as a base of codes."""

import hashlib
from typing import Any

import numpy as np
import pytest

from stencilnet.delta import Quantized, Seed, Seeded
from stencilnet.delta.seeded import philox
from stencilnet.delta.spec import Array, dtype_named


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
    assert hashlib.sha256(weight.tobytes()).hexdigest() == PINNED


PINNED = "623812a38850b48fba505bcffa2fbd4ed0f7052a3542dd77a94122bbaebb93d4"


def test_weights_are_uniform_within_the_bound_of_pytorchs_layers() -> None:
    shape = (128, 64, 3, 3)
    seed = Seed.of(3, "a.weight", shape)
    weight = seed.weight(shape)
    assert seed.bound == pytest.approx(1 / 24)
    assert weight.dtype == np.float32
    assert float(np.abs(weight).max()) < seed.bound
    places = (weight / seed.bound).reshape(-1)
    counts, _ = np.histogram(places, bins=10, range=(-1, 1))
    assert np.abs(counts / places.size - 0.1).max() < 0.005
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.01
    assert not np.array_equal(Seed.of(4, "a.weight", shape).weight(shape), weight)
    assert not np.array_equal(Seed.of(3, "b.weight", shape).weight(shape), weight)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_a_seeded_weight_is_moved_by_steps(dtype: str, as_bytes: Any) -> None:
    shape = (5, 4, 3, 3)
    codes = (np.arange(180) % 7 - 3).astype(np.int8).reshape(shape)
    one = Seeded(Seed.of(1, "w", shape), Quantized(codes, np.array(0.01, np.float32)))
    wanted = (one.seed.weight(shape) + np.float32(0.01) * codes.astype(np.float32)).astype(dtype_named(dtype))
    shared = np.full(shape, 7, dtype_named(dtype))
    assert as_bytes({"w": one.apply(shared)}) == as_bytes({"w": wanted})
    back = Seeded.from_tensors(one.tensors(), shape)
    assert as_bytes({"w": back.apply(shared)}) == as_bytes({"w": wanted})
    assert one.nbytes == sum(array.nbytes for array in one.tensors().values())
    with pytest.raises(ValueError, match="to take the place of, but got none"):
        one.apply(None)


@pytest.mark.parametrize("data", [np.zeros(12, np.uint8), np.zeros(11, np.uint8)])
def test_what_is_no_seed_is_refused(data: Array) -> None:
    with pytest.raises(ValueError, match="Expected a seed"):
        Seed.from_bytes(data)
