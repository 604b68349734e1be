"""Where scores start, and what their gradients are divided by."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stencilnet.masks import (
    THRESHOLD,
    Affines,
    Binary,
    BitMask,
    Masks,
    Scaling,
    Ternaries,
    binarize,
    scaled,
    starting_scores,
    starting_signs,
    warm_scores,
)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_constant_start() -> None:
    start = starting_scores({"a": drawn(2, 3), "b": drawn(4)}, "constant", 0.02, seed=0)
    assert {name: (t.dtype, t.unique().tolist()) for name, t in start.items()} == {
        name: (torch.float32, [pytest.approx(0.02)]) for name in ("a", "b")
    }
    assert start["a"].shape == (2, 3)


def test_a_uniform_start_follows_its_seed() -> None:
    weights = {"a": drawn(100, 100), "b": drawn(100, 100)}
    one, again, other = (starting_scores(weights, "uniform", 1e-2, seed) for seed in (1, 1, 2))
    assert torch.equal(one["a"], again["a"])
    assert not torch.equal(one["a"], other["a"])
    assert not torch.equal(one["a"], one["b"])
    for scores in one.values():
        assert float(scores.abs().max()) <= 1e-2
        assert scores.std().item() == pytest.approx(1e-2 / 3**0.5, rel=0.02)
        assert binarize(scores).float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_a_start_by_weights_is_as_far_above_the_threshold_as_they_are_large() -> None:
    weights = {"a": torch.tensor([1.0, -3.0]).bfloat16(), "b": torch.tensor([1e-4, 0.0])}
    start = starting_scores(weights, "weight", 1e-2, seed=0)
    assert start["a"].tolist() == pytest.approx([2 + THRESHOLD] * 2)
    assert start["b"].tolist() == pytest.approx([5e-5 + THRESHOLD] * 2)
    assert all(bool(binarize(scores).all()) for scores in start.values())
    assert all(scores.dtype == torch.float32 for scores in start.values())


def test_a_warm_start_mirrors_what_another_task_dropped() -> None:
    bits = torch.tensor([[True, False], [False, True]])
    start = warm_scores({"a": BitMask.pack(bits)})["a"]
    torch.testing.assert_close(start, torch.tensor([[0.01, 0.0], [0.0, 0.01]]))
    assert torch.equal(binarize(start), bits)
    torch.testing.assert_close((start - THRESHOLD).abs(), torch.full((2, 2), 5e-3))


def test_signs_start_as_far_from_the_threshold() -> None:
    start = starting_signs(torch.full((3,), 0.02), torch.tensor([1.0, 0.0, -1.0]))
    assert start.tolist() == pytest.approx([0.02, 0.02, -0.01])


SCALES: dict[Scaling, Any] = {
    "none": lambda w: np.ones_like(w),
    "average": lambda w: np.full_like(w, np.abs(w).mean()),
    "individual": np.abs,
}


@pytest.mark.parametrize("scaling", SCALES)
def test_gradients_are_divided_and_scores_are_not(scaling: Scaling) -> None:
    weight, real, probe = drawn(4, 5), nn.Parameter(drawn(4, 5, seed=1)), drawn(4, 5, seed=2)
    given = scaled(real, weight, scaling)
    assert torch.equal(given, real)
    (given * probe).sum().backward()
    assert real.grad is not None
    np.testing.assert_allclose(real.grad.numpy(), probe.numpy() / SCALES[scaling](weight.numpy()), rtol=1e-6)


@pytest.mark.parametrize("scaling", ["average", "individual"])
def test_weights_of_zero_have_gradients_of_zero(scaling: Scaling) -> None:
    """Where W is 0, or too small to divide by, nothing becomes infinite or no number."""
    for weight in (torch.tensor([0.0, -0.0, 1e-40, 2.0]), torch.zeros(4)):
        real = nn.Parameter(torch.full((4,), 0.01))
        (Binary()(weight, scaled(real, weight, scaling), ()) * torch.tensor([3.0, 3.0, 3.0, 3.0])).sum().backward()
        assert real.grad is not None
        assert bool(real.grad.isfinite().all())
        assert real.grad[:2].tolist() == [0.0, 0.0]
        if scaling == "individual":
            assert real.grad[3] == (3.0 if weight[3] else 0.0)  # dL/dW sign(W), whatever the size of W


@pytest.mark.parametrize(
    "form", [Binary, Ternaries, lambda: Affines(torch.ones(1))], ids=["binary", "ternary", "affine"]
)
@pytest.mark.parametrize("scaling", SCALES)
def test_scaled_masks_select_what_unscaled_ones_do_and_see_every_step(form: Any, scaling: Scaling) -> None:
    weight = drawn(6, 7)
    pair = [
        Masks({"a": weight}, (), {"h": torch.ones(1)}, ("a",), form=lambda _n, _w: form(), scaling=way)
        for way in ("none", scaling)
    ]
    probe, rates = drawn(6, 7, seed=3), SCALES[scaling](weight.numpy())
    gradients = []
    for trainable in pair:
        (trainable.weights()["a"] * probe).sum().backward()
        (real,) = trainable.groups()["mask"]
        assert real.grad is not None
        gradients.append(real.grad.numpy())
    np.testing.assert_allclose(gradients[1], gradients[0] / rates, rtol=1e-5)
    for step in range(3):  # the kept memory is written anew after each change, seen through the alias
        moves = drawn(6, 7, seed=10 + step) * 0.01
        for trainable in pair:
            with torch.no_grad():
                trainable.groups()["mask"][0].add_(moves)
        one, other = (trainable.weights()["a"] for trainable in pair)
        assert torch.equal(one, other)
        assert torch.equal(one, pair[0].delta().apply({"a": weight})["a"])


def test_settings_are_what_tensors_do_not_say() -> None:
    arguments = ({"a": drawn(2)}, (), {"h": torch.ones(1)}, ("a",))
    assert Masks(*arguments).settings == {}
    other = Masks(*arguments, form=lambda _n, _w: Ternaries(), scaling="average")
    assert other.settings == {"mask form": "Ternaries", "mask scaling": "average"}
    assert list(other.state_dict()) == list(Masks(*arguments).state_dict())
