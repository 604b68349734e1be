"""What scores and numbers do to a weight: by hand, and their gradients by closed forms and finite differences."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stencilnet.masks import (
    Affine,
    Affines,
    Binary,
    BitMask,
    Form,
    Masks,
    Sign,
    Signs,
    Ternaries,
    Ternary,
    starting_signs,
)

FORMS: dict[str, Callable[[Tensor], Form]] = {
    "binary": lambda weight: Binary(),
    "sign": lambda weight: Signs(weight, channel=0),
    "sign, transposed": lambda weight: Signs(weight, channel=1),
    "ternary": lambda weight: Ternaries(),
    "affine": lambda weight: Affines(weight),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scores(*shape: int, seed: int = 1) -> nn.Parameter:
    """A third of them below 0, a third between the thresholds, a third above both."""
    places = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return nn.Parameter(places * 0.015 - 0.005)


def numbers(form: Form, seed: int = 2) -> tuple[nn.Parameter, ...]:
    """Trained numbers, off where they start."""
    return tuple(nn.Parameter(tensor + 0.3 * drawn(*tensor.shape, seed=seed)) for tensor in form.start())


@pytest.fixture(params=list(FORMS.values()), ids=list(FORMS))
def build(request: pytest.FixtureRequest) -> Callable[[Tensor], Form]:
    chosen: Callable[[Tensor], Form] = request.param
    return chosen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (5, 7), (1, 1, 1, 1)])
def test_the_entry_gives_the_forms_bytes(build: Any, dtype: torch.dtype, shape: tuple[int, ...], as_bytes: Any) -> None:
    weight = drawn(*shape).to(dtype)
    form, real = build(weight), scores(*shape)
    own = numbers(form)
    task = form(weight, real, own)
    entry = form.entry(real.detach(), own)
    assert task.dtype == dtype
    assert as_bytes({"w": entry.apply(weight)}) == as_bytes({"w": task})
    out = torch.full_like(weight, 7)
    entry.write(weight, out)
    assert as_bytes({"w": out}) == as_bytes({"w": task})
    stored = entry.tensors()
    assert as_bytes({"w": type(entry).from_tensors(stored, entry.shape).apply(weight)}) == as_bytes({"w": task})
    assert not any(tensor.requires_grad for tensor in stored.values())
    assert entry.nbytes == sum(tensor.nbytes for tensor in stored.values())
    assert form.selects == (entry.kept is not None)
    if entry.kept is not None:
        assert torch.equal(entry.kept.unpack(), form.code(real) != 0)


def test_numbers_gradients_are_finite_differences(build: Any) -> None:
    """In float64, through everything but the thresholds, which they do not cross."""
    weight, real = drawn(3, 4, 2, 2).double(), scores(3, 4, 2, 2)
    form = build(weight)
    own = tuple(tensor.detach().double().requires_grad_() for tensor in numbers(form))
    probe = drawn(3, 4, 2, 2, seed=5).double()

    def loss(given: tuple[Tensor, ...]) -> Tensor:
        return (form(weight, real.detach(), given) * probe).square().sum()

    found = torch.autograd.grad(loss(own), own) if own else ()
    for place, gradient in enumerate(found):
        for index in np.ndindex(*gradient.shape):
            moved = []
            for step in (1e-6, -1e-6):
                other = [tensor.detach().clone() for tensor in own]
                other[place][index] += step
                moved.append(loss(tuple(other)).item())
            assert float(gradient[index]) == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_a_form_survives_copies(build: Any) -> None:
    weight = drawn(2, 3)
    form, real = build(weight), scores(2, 3)
    own = numbers(form)
    expected = form(weight, real, own)
    for again in (copy.deepcopy(form), pickle.loads(pickle.dumps(form))):
        assert torch.equal(again(weight, real, own), expected)


def test_signs_by_hand() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.0, 4.0]])  # mean absolute 2: the unit of steps
    real = nn.Parameter(torch.tensor([[0.01, 0.01], [0.005, 0.0]]))  # at the threshold is below it
    form = Signs(weight, channel=0)
    (start,) = form.start()
    assert start.tolist() == [[1.0], [1.0]]
    steps = nn.Parameter(torch.tensor([[1.0], [0.5]]))
    task = form(weight, real, (steps,))
    torch.testing.assert_close(task, torch.tensor([[3.0, -1.0], [-1.0, 3.0]]))
    probe = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    (task * probe).sum().backward()
    assert real.grad is not None
    assert steps.grad is not None
    torch.testing.assert_close(real.grad, probe * torch.tensor([[2.0], [1.0]]))  # dL/dW times the step
    torch.testing.assert_close(steps.grad, 2.0 * torch.tensor([[3.0], [-7.0]]))  # the step's unit, signs summed up


def test_a_transposed_convolutions_steps_lie_along_its_second_dimension() -> None:
    (steps,) = Signs(torch.ones(4, 6, 2, 2), channel=1).start()
    assert steps.shape == (1, 6, 1, 1)
    (steps,) = Signs(torch.ones(4, 6, 2, 2), channel=0).start()
    assert steps.shape == (4, 1, 1, 1)
    (steps,) = Signs(torch.ones(4, 6), channel=0).start()
    assert steps.shape == (4, 1)


def test_steps_of_a_change_are_its_channels_means_by_hand() -> None:
    weight, change = torch.zeros(2, 2), torch.tensor([[1.0, -3.0], [0.0, 2.0]])  # mean absolute 1.5: the unit
    for channel, expected in ((0, [[2.0], [1.0]]), (1, [[0.5, 2.5]])):
        form = Signs(weight, channel, change)
        (steps,) = form.start()
        torch.testing.assert_close(1.5 * steps, torch.tensor(expected))
        moved = form(weight, starting_signs(torch.full((2, 2), 1e-2), change), (steps,))
        torch.testing.assert_close(moved, torch.tensor(expected) * torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
    (steps,) = Signs(weight, 0, torch.zeros(2, 2)).start()
    assert steps.tolist() == [[1.0], [1.0]]


def test_signs_start_as_the_weights_own() -> None:
    weight = torch.tensor([2.0, -1.0, 0.0, -0.0, -1e-9])
    start = starting_signs(torch.full((5,), 1e-2), weight)
    assert start.tolist() == pytest.approx([0.01, 0.0, 0.01, 0.01, 0.0])
    trainable = Masks(
        {"a": weight}, (), {"h": torch.ones(1)}, ("a",), form=lambda _, w: Signs(w, 0), start={"a": start}
    )
    entry = trainable.delta().entries["a"]
    assert isinstance(entry, Sign)
    assert entry.bits.unpack().tolist() == [True, False, True, True, False]
    step = 0.6
    torch.testing.assert_close(entry.scale, torch.full((5,), step))
    torch.testing.assert_close(entry.apply(weight), torch.tensor([2 + step, -1 - step, step, step, -1e-9 - step]))


@pytest.mark.parametrize(
    "scale",
    [torch.ones(2), torch.ones(3, 1), torch.ones(2, 3), torch.ones(2, 1).double(), torch.ones(1, 3, 1)],
    ids=["few dimensions", "other size", "two wide", "float64", "more dimensions"],
)
def test_steps_that_do_not_fit_are_refused(scale: Tensor) -> None:
    bits = Sign.from_tensors({"bits": torch.zeros(1, dtype=torch.uint8), "scale": torch.ones(2, 1)}, torch.Size([2, 3]))
    with pytest.raises(
        ValueError, match=r"scale of a \(2, 3\) weight to be float32, its shape 1 in every dimension but"
    ):
        Sign(bits.bits, scale)


def test_a_weight_of_another_shape_is_refused() -> None:
    entry = Signs(torch.ones(2, 3), 0).entry(torch.zeros(2, 3), (torch.ones(2, 1),))
    with pytest.raises(ValueError, match=r"Expected a shared weight of shape \(2, 3\) to move, but got none\."):
        entry.apply(None)
    with pytest.raises(ValueError, match=r"argument `out` to be torch.float32 of shape \(2, 3\) on cpu, but got"):
        entry.write(torch.ones(2, 3), torch.ones(1, 3))


def test_ternary_by_hand() -> None:
    """m < 0 is -1, 0 <= m <= 5e-3 is 0, above is 1: asymmetric, as in the original."""
    weight = torch.tensor([2.0, 2.0, 2.0, 2.0, 2.0, -3.0, -3.0, torch.inf])
    real = nn.Parameter(torch.tensor([-1e-6, -0.0, 0.0, 5e-3, 5.1e-3, -1.0, 1.0, 1e-3]))
    form = Ternaries()
    assert form.code(real).tolist() == [-1, 0, 0, 0, 1, -1, 1, 0]
    task = form(weight, real, ())
    assert task.tolist() == [-2.0, 0.0, 0.0, 0.0, 2.0, 3.0, -3.0, 0.0]
    assert not bool(torch.signbit(task[1:4]).any())
    probe = torch.arange(8.0)
    (task * probe)[:7].sum().backward()
    assert real.grad is not None
    assert torch.equal(real.grad[:7], (probe * weight)[:7])  # dL/dW times W, whatever the score
    entry = form.entry(real.detach(), ())
    assert isinstance(entry, Ternary)
    assert entry.keep.unpack().tolist() == [True, False, False, False, True, True, True, False]
    assert entry.flip.unpack().tolist() == [True, False, False, False, False, True, False, False]
    assert (entry.nbytes, entry.kept) == (2, entry.keep)


def test_a_flip_of_what_is_not_kept_is_refused() -> None:
    keep, flip, short = (BitMask.pack(torch.tensor(bits) > 0) for bits in ([1, 0, 1], [1, 1, 0], [1, 0]))
    for other in (flip, short):
        with pytest.raises(
            ValueError, match=r"Expected `flip` to turn over some of the \(3,\) weights that `keep` keeps"
        ):
            Ternary(keep, other)


def test_affine_by_hand() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.0, 4.0]])  # mean absolute 2: the unit of k1 and k2
    real = nn.Parameter(torch.tensor([[0.01, 0.005], [0.02, 0.01]]))
    form = Affines(weight)
    (start,) = form.start()
    assert torch.equal(form(weight, real, (start,)), torch.tensor([[1.0, 0.0], [0.0, 4.0]]))  # plain Piggyback
    numbers = nn.Parameter(torch.tensor([0.5, 0.1, 0.25, 2.0]))
    task = form(weight, real, (numbers,))
    # 0.5 W + 0.2 + 0.5 M + 2 W M
    torch.testing.assert_close(task, torch.tensor([[3.2, -1.3], [0.7, 10.7]]))
    probe = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    (task * probe).sum().backward()
    assert real.grad is not None
    assert numbers.grad is not None
    torch.testing.assert_close(real.grad, probe * (0.5 + 2.0 * weight))  # dL/dW (k2 + k3 W), whatever the bit
    torch.testing.assert_close(numbers.grad, torch.tensor([15.0, 2 * 11.0, 2 * 9.0, 21.0]))
    entry = form.entry(real.detach(), (numbers,))
    assert isinstance(entry, Affine)
    torch.testing.assert_close(entry.k, torch.tensor([0.5, 0.2, 0.5, 2.0]))
    assert (entry.nbytes, entry.kept) == (1 + 16, None)


@pytest.mark.parametrize("k", [torch.ones(3), torch.ones(1, 4), torch.ones(4).double()])
def test_other_than_four_numbers_are_refused(k: Tensor) -> None:
    with pytest.raises(ValueError, match=r"numbers `k` of an affine mask to be float32 of shape \(4,\), but got"):
        Affine(BitMask.pack(torch.ones(2, 3) > 0), k)


def test_flips_count_what_is_not_as_it_started() -> None:
    head = {"h": torch.ones(1)}
    weight = torch.tensor([1.0, -1.0, 1.0, -1.0])
    start = {"a": starting_signs(torch.full((4,), 1e-2), weight)}
    plain = Masks({"a": weight}, (), head, ("a",))
    signs = Masks({"a": weight}, (), head, ("a",), form=lambda _, w: Signs(w, 0), start=start)
    for trainable, zeros in ((plain, 0), (signs, 2)):
        assert (trainable.flips(), trainable.zeros(), trainable.numel) == (0, zeros, 4)
        (real,) = trainable.groups()["mask"]
        with torch.no_grad():
            real[0] -= 1
        assert (trainable.flips(), trainable.zeros()) == (1, zeros + 1)
    assert plain.selects
    assert not signs.selects
