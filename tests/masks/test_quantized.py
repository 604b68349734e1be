"""Quantised deltas by hand, as they are stored, and as they are trained."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stencilnet.delta import Quantized, Replace, Seed, Seeded
from stencilnet.delta.integers import encode_integers
from stencilnet.delta.spec import Array
from stencilnet.masks import Codes, array_of, task_weights, tensor_of
from stencilnet.masks.coded import CONTROL_EVERY, rounded_to


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def entry(*shape: int, step: float = 0.037, seed: int = 1) -> Quantized:
    return Quantized(array_of(drawn(*shape, seed=seed).mul(1.2).round().to(torch.int8)), np.array(step, np.float32))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (5, 7), (1, 1, 1, 1)])
def test_a_weight_is_moved_by_steps(dtype: torch.dtype, shape: tuple[int, ...], as_bytes: Any) -> None:
    weight, one = drawn(*shape).to(dtype), entry(*shape)
    product = one.step * one.codes.astype(np.float32)
    if dtype is torch.float64:
        expected = torch.from_numpy(weight.numpy() + product.astype(np.float64))
    else:  # NumPy has no bfloat16: the rounding alone is PyTorch's
        expected = torch.from_numpy(weight.float().numpy() + product).to(dtype)
    found = one.apply(array_of(weight))
    assert as_bytes({"w": found}) == as_bytes({"w": expected})
    assert np.array_equal(found[one.codes == 0], array_of(weight)[one.codes == 0])


def test_it_is_stored_as_its_step_and_code_words() -> None:
    one = entry(40, 25, 3, 3)
    stored = one.tensors()
    assert list(stored) == ["code"]
    data = stored["code"].tobytes()
    assert data[:4] == np.array([0.037], "<f4").tobytes()
    assert data[4:] == encode_integers(one.codes).tobytes()
    assert one.nbytes == len(data)
    back = Quantized.from_tensors(stored, one.shape)
    assert np.array_equal(back.codes, one.codes)
    assert back.step == one.step
    assert one.kept is None


@pytest.mark.parametrize("code", [np.zeros(3, np.uint8), np.zeros(40), np.zeros(4, np.uint8)])
def test_other_bytes_are_refused(code: Array) -> None:
    with pytest.raises(ValueError, match="Expected"):
        Quantized.from_tensors({"code": code}, (5,))


@pytest.mark.parametrize("step", [float("nan"), float("inf")])
def test_a_step_is_a_finite_number(step: float) -> None:
    with pytest.raises(ValueError, match="step of the codes to be finite"):
        Quantized(np.zeros(2, np.int8), np.array(step, np.float32))
    with pytest.raises(ValueError, match=r"int8 codes and a float32 step of shape \(\)"):
        Quantized(np.zeros(2, np.int8), np.ones(1, np.float32))


def test_without_a_shared_weight_there_is_nothing_to_move() -> None:
    with pytest.raises(ValueError, match=r"Expected a shared weight of shape \(2, 3\) to move, but got none"):
        entry(2, 3).apply(None)


def test_the_zero_bin_is_wider_and_the_largest_code_is_kept_to() -> None:
    step, dead = torch.tensor(0.5), 1.3
    places = torch.tensor([0.0, 0.64, 0.66, 1.64, 1.66, 2.66, 126.66, 127.66, 9000.0]) * 0.5
    expected = torch.tensor([0, 0, 1, 1, 2, 3, 127, 127, 127], dtype=torch.int8)
    assert torch.equal(rounded_to(places, step, dead), expected)
    assert torch.equal(rounded_to(-places, step, dead), -expected)


WEIGHTS = {"a.weight": (6, 5, 3, 3), "b.weight": (40, 30), "bias": (6,)}


STEPS = 100
BEGIN = 30
"""The step at which a training of `STEPS` begins to round."""


def codes(target: float = 1.0, sensitivity: float = 0.0, seed: int = 5, rounding: bool = True) -> Codes:
    """Changes as a training may have left them where rounding begins."""
    shared = {name: drawn(*shape, seed=seed) for name, shape in WEIGHTS.items()}
    head, options = {"head.bias": torch.zeros(2)}, {"target": target, "sensitivity": sensitivity}
    trainable = Codes(shared, (), head, ["a.weight", "b.weight"], ["bias"], switch=0.3, dead=1.3, **options)
    with torch.no_grad():
        for number, change in enumerate(trainable.groups()["weight"]):
            change.add_(0.1 * drawn(*change.shape, seed=seed + 1 + number))
    if rounding:
        trainable.after_step(BEGIN, STEPS)
    return trainable


def rate(trainable: Codes) -> float:
    """Bits a weight, by the definition of entropy, layer by layer."""
    total, numel = 0.0, 0
    for one in trainable.delta().entries.values():
        if isinstance(one, Quantized):
            counts = Counter(one.codes.reshape(-1).tolist())
            total -= sum(n * math.log2(n / one.codes.size) for n in counts.values())
            numel += one.codes.size
    return total / numel


@pytest.mark.parametrize("target", [0.3, 1.0, 1.7])
def test_rounding_begins_at_the_rate_asked_for(target: float) -> None:
    trainable = codes(target)
    assert rate(trainable) == pytest.approx(target, abs=0.02)
    assert trainable.bits() == pytest.approx(rate(trainable))


def test_before_rounding_changes_go_in_as_they_are() -> None:
    trainable = codes(rounding=False)
    changes = dict(zip(("a.weight", "b.weight"), trainable.groups()["weight"], strict=False))
    for step in range(1, BEGIN):
        trainable.after_step(step, STEPS)
        assert not trainable.selectable
    for name, change in changes.items():
        assert torch.equal(trainable.weights()[name], trainable.shared()[name] + change)
    assert trainable.status() == {}
    trainable.after_step(BEGIN, STEPS)
    assert trainable.selectable


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_last_step_of_the_shortest_training_is_rounded(steps: int) -> None:
    trainable = codes(rounding=False)
    for step in range(1, steps + 1):
        trainable.after_step(step, steps)
    assert trainable.selectable


def test_weights_are_those_of_the_delta_and_the_shared_ones_stay(as_bytes: Any) -> None:
    trainable = codes()
    before = as_bytes(trainable.shared())
    assert as_bytes(task_weights(trainable.delta(), trainable.shared())) == as_bytes(trainable.weights())
    kinds = {name: type(one) for name, one in trainable.delta().entries.items()}
    assert kinds == {"a.weight": Quantized, "b.weight": Quantized, "bias": Replace, "head.bias": Replace}
    assert as_bytes(trainable.shared()) == before


def test_the_gradient_passes_the_rounding_unchanged() -> None:
    trainable = codes()
    wanted = {name: drawn(*tensor.shape, seed=9) for name, tensor in trainable.weights().items()}
    loss = torch.stack([(trainable.weights()[name] * factor).sum() for name, factor in wanted.items()]).sum()
    loss.backward()
    for name, change in zip(("a.weight", "b.weight"), trainable.groups()["weight"], strict=False):
        assert torch.equal(change.grad, wanted[name])
    assert not any(p.requires_grad for p in trainable.parameters() if p.grad is None)


def test_steps_are_steered_to_the_rate() -> None:
    trainable = codes(target=1.0)
    with torch.no_grad():
        for change in trainable.groups()["weight"][:2]:
            change.mul_(3)  # far too many bits now
    far = trainable.bits()
    assert far > 1.5
    before = trainable.steps.clone()
    trainable.after_step(BEGIN + CONTROL_EVERY - 1, STEPS)
    assert torch.equal(trainable.steps, before)
    trainable.after_step(BEGIN + CONTROL_EVERY, STEPS)
    torch.testing.assert_close(trainable.steps, before * math.exp(0.5 * (far - 1.0)))
    for number in range(2, 60):
        trainable.after_step(BEGIN + number * CONTROL_EVERY, STEPS)
    assert trainable.bits() == pytest.approx(1.0, abs=0.02)


def test_curves_show_bits_and_zeros() -> None:
    trainable = codes()
    zeros = [one.codes == 0 for one in trainable.delta().entries.values() if isinstance(one, Quantized)]
    share = sum(int(z.sum()) for z in zeros) / sum(z.size for z in zeros)
    assert trainable.status() == {"code/bits": pytest.approx(rate(trainable)), "code/zeros": pytest.approx(share)}


@pytest.mark.parametrize(("sensitivity", "finer"), [(0.0, 1.0), (0.4, 10**0.4), (1.0, 10.0)])
def test_layers_with_larger_gradients_are_coded_more_finely(sensitivity: float, finer: float) -> None:
    trainable = codes(1.0, sensitivity, rounding=False)
    first, second, *_ = trainable.groups()["weight"]
    means = [float(change.detach().abs().mean()) for change in (first, second)]
    for step in range(1, BEGIN + 1):
        first.grad, second.grad = (size * drawn(*one.shape).sign() for size, one in ((10.0, first), (1.0, second)))
        trainable.after_step(step, STEPS)
    steps = trainable.steps.tolist()
    assert means[0] / steps[0] / (means[1] / steps[1]) == pytest.approx(finer, rel=1e-4)
    assert trainable.bits() == pytest.approx(1.0, abs=0.02)


def test_steps_and_what_they_are_found_by_are_state() -> None:
    trainable = codes(1.0, 0.4, rounding=False)
    first, second, *_ = trainable.groups()["weight"]
    first.grad, second.grad = 5 * torch.ones_like(first), torch.ones_like(second)
    trainable.after_step(1, STEPS)
    other = codes(1.0, 0.4, rounding=False)
    other.load_state_dict(trainable.state_dict())
    for one in (trainable, other):
        one.zero_grad()
        one.after_step(BEGIN, STEPS)
    assert torch.equal(other.steps, trainable.steps)
    assert not torch.equal(other.steps, codes(1.0, 0.4).steps)


def test_layers_that_did_not_move_cost_nothing() -> None:
    shared = {"a": drawn(20, 20)}
    trainable = Codes(shared, (), {}, ["a"], [], target=1.0, switch=0.3, sensitivity=0.4, dead=1.3)
    trainable.after_step(1, 2)
    assert trainable.bits() == 0
    assert torch.equal(trainable.weights()["a"], shared["a"])


def test_a_seed_takes_the_place_of_shared_weights_that_stay(as_bytes: Any) -> None:
    shared = {"a": drawn(20, 30), "bias": torch.ones(20)}
    seed = Seed.of(4, "a", (20, 30))
    own: dict[str, Any] = {"seeds": {"a": seed}, "start": {"bias": torch.full((20,), 0.5)}}
    trainable = Codes(shared, (), {}, ["a"], ["bias"], target=1.0, switch=0.3, sensitivity=0.4, dead=1.3, **own)
    assert torch.equal(trainable.weights()["a"], tensor_of(seed.weight((20, 30))))
    assert torch.equal(trainable.weights()["bias"], torch.full((20,), 0.5))
    assert as_bytes(trainable.shared()) == as_bytes(shared)
    with torch.no_grad():
        trainable.groups()["weight"][0].add_(drawn(20, 30, seed=3))
    trainable.after_step(1, 2)
    assert isinstance(trainable.delta().entries["a"], Seeded)
    assert as_bytes(task_weights(trainable.delta(), shared)) == as_bytes(trainable.weights())
