"""The threshold and the straight-through gradient, against NumPy."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stencilnet.masks import INITIAL, THRESHOLD, binarize, select
from stencilnet.masks.binarize import Selection

Array = NDArray[np.float64]


def test_constants_are_the_papers() -> None:
    assert (INITIAL, THRESHOLD) == (1e-2, 5e-3)


def test_threshold_is_strict() -> None:
    at = np.float32(5e-3)
    above, below = np.nextafter(at, np.float32(1)), np.nextafter(at, np.float32(0))
    scores = torch.tensor([at, above, below, 1e-2, 0.0, -0.0, -1.0, np.inf, -np.inf, np.nan])
    bits = binarize(scores)
    assert bits.dtype == torch.bool
    assert bits.tolist() == [False, True, False, True, False, False, False, True, False, False]


def test_switched_off_weights_are_positive_zero_whatever_they_were() -> None:
    weight = torch.tensor([-1.0, -0.0, np.inf, -np.inf, np.nan, 2.0])
    effective = select(weight, torch.zeros(6))
    assert effective.tolist() == [0.0] * 6
    assert not torch.signbit(effective).any()


def test_kept_weights_pass_unchanged() -> None:
    weight = torch.tensor([-1.0, -0.0, np.inf, -np.inf, np.nan, 1e-45])
    effective = select(weight, torch.full((6,), INITIAL))
    assert effective.numpy().tobytes() == weight.numpy().tobytes()


def test_weight_gets_no_gradient_even_if_it_asks_for_one() -> None:
    weight = torch.randn(3, 2, requires_grad=True)
    real = torch.full((3, 2), INITIAL, requires_grad=True)
    select(weight, real).sum().backward()
    assert weight.grad is None
    assert real.grad is not None


def test_bf16_weights_select_under_a_float32_mask() -> None:
    weight = torch.tensor([1.5, -2.0, 0.25], dtype=torch.bfloat16)
    real = torch.tensor([INITIAL, 0.0, INITIAL], requires_grad=True)
    effective = select(weight, real)
    (effective.float() * torch.tensor([2.0, 4.0, 8.0])).sum().backward()
    assert effective.dtype == torch.bfloat16
    assert effective.tolist() == [1.5, 0.0, 0.25]
    assert real.grad is not None
    assert real.grad.dtype == torch.float32
    assert real.grad.tolist() == [3.0, -8.0, 2.0]  # exact: powers of two


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer, an input for it, and dL/dW_eff in NumPy for L = sum(c * output)."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    gradient: Callable[[Array, Array], Array]


def _linear(x: Array, c: Array) -> Array:
    return c.T @ x


def _conv(x: Array, c: Array, *, kernel: tuple[int, int], groups: int) -> Array:
    height, width = c.shape[2:]
    ins, outs = x.shape[1] // groups, c.shape[1] // groups
    gradient = np.zeros((c.shape[1], ins, *kernel))
    for group in range(groups):
        xs, cs = x[:, group * ins : (group + 1) * ins], c[:, group * outs : (group + 1) * outs]
        for row, column in np.ndindex(*kernel):
            window = xs[:, :, row : row + height, column : column + width]
            gradient[group * outs : (group + 1) * outs, :, row, column] = np.einsum("nohw,nihw->oi", cs, window)
    return gradient


def _conv_transpose(x: Array, c: Array, *, kernel: int, stride: int) -> Array:
    height, width = x.shape[2:]
    gradient = np.zeros((x.shape[1], c.shape[1], kernel, kernel))
    for row, column in np.ndindex(kernel, kernel):
        window = c[:, :, row : row + stride * height : stride, column : column + stride * width : stride]
        gradient[:, :, row, column] = np.einsum("nihw,nohw->io", x, window)
    return gradient


LAYERS = {
    "linear": Layer(build=lambda: nn.Linear(5, 4), shape=(3, 5), gradient=_linear),
    "conv": Layer(
        build=lambda: nn.Conv2d(3, 4, (3, 2)),
        shape=(2, 3, 6, 7),
        gradient=partial(_conv, kernel=(3, 2), groups=1),
    ),
    "grouped conv": Layer(
        build=lambda: nn.Conv2d(6, 4, 3, groups=2),
        shape=(2, 6, 5, 6),
        gradient=partial(_conv, kernel=(3, 3), groups=2),
    ),
    "transposed conv": Layer(
        build=lambda: nn.ConvTranspose2d(3, 4, 2, stride=2),
        shape=(2, 3, 4, 5),
        gradient=partial(_conv_transpose, kernel=2, stride=2),
    ),
}


def _weight_of(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_gradient_is_that_of_the_effective_weight_times_the_weight(layer: Layer) -> None:
    torch.manual_seed(0)
    module, x = layer.build().requires_grad_(False), torch.randn(layer.shape)
    weight = _weight_of(module)
    real = torch.where(torch.rand(weight.shape) < 0.5, 0.0, INITIAL).requires_grad_()
    before = weight.clone()

    output = torch.func.functional_call(module, {"weight": select(weight, real)}, (x,))
    c = torch.randn(output.shape)
    (output * c).sum().backward()

    expected = layer.gradient(x.double().numpy(), c.double().numpy()) * before.double().numpy()
    assert real.grad is not None
    np.testing.assert_allclose(real.grad.numpy(), expected, rtol=1e-4, atol=1e-5)
    off = real.detach().numpy() == 0
    assert off.any()
    assert np.abs(real.grad.numpy()[off]).min() > 0  # a switched-off weight can come back
    assert weight.grad is None
    assert torch.equal(weight, before)


@pytest.mark.parametrize(("lr", "ones", "zeros"), [(1e-4, 45, 55), (1e-3, 4, 6)])
def test_adam_crosses_the_gap_in_about_gap_over_lr_steps(lr: float, ones: int, zeros: int) -> None:
    """The dead zone under a constant gradient: all ones before half the way to zero, all zeros after it."""
    weight, real = torch.ones(3), nn.Parameter(torch.full((3,), INITIAL))
    optimizer = torch.optim.Adam([real], lr=lr)
    counts = {}
    for step in range(1, zeros + 1):
        optimizer.zero_grad()
        select(weight, real).sum().backward()
        optimizer.step()
        counts[step] = int(binarize(real.detach()).sum())
    assert (counts[ones], counts[zeros]) == (3, 0)


def scores(*shape: int, seed: int = 0) -> nn.Parameter:
    """Real masks, half of them on, among them the threshold itself and its neighbours."""
    real = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 * THRESHOLD
    at = np.float32(THRESHOLD)
    edge = [at, np.nextafter(at, np.float32(1)), np.nextafter(at, np.float32(0)), 0.0, -0.0, -1.0, np.inf, -np.inf]
    real.view(-1)[: len(edge)] = torch.tensor(edge)
    return nn.Parameter(real)


def weights(*shape: int) -> Tensor:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    weight.view(-1)[8:13] = torch.tensor([-0.0, np.inf, -np.inf, np.nan, 1e-45])
    return weight


def plain(weight: Tensor, real: Tensor) -> Tensor:
    """The definition, written out."""
    return torch.where(real.detach() > THRESHOLD, weight, torch.zeros_like(weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "memory"),
    [
        ((7, 5, 3, 3), torch.contiguous_format),
        ((64, 33, 3, 3), torch.contiguous_format),
        ((64, 33, 3, 3), torch.channels_last),
        ((13,), torch.contiguous_format),
    ],
)
def test_a_selection_is_bit_equal_to_the_definition(
    shape: tuple[int, ...], dtype: torch.dtype, memory: torch.memory_format
) -> None:
    weight, kept = weights(*shape).to(dtype).contiguous(memory_format=memory), Selection()
    for seed in range(3):
        real = nn.Parameter(scores(*shape, seed=seed).detach().contiguous(memory_format=memory))
        ours, theirs = kept(weight, real), plain(weight, real)
        assert ours.dtype == dtype
        assert ours.stride() == theirs.stride()
        as_bytes = [t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (ours, theirs)]
        assert torch.equal(*as_bytes)
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
        ours.backward(gradient)
        assert real.grad is not None
        assert torch.equal(real.grad.nan_to_num(7), (gradient * weight).to(torch.float32).nan_to_num(7))


def test_a_selection_is_written_once_a_change() -> None:
    weight, real, kept = weights(4, 4), scores(4, 4), Selection()
    first = kept(weight, real)
    version = first._version
    with torch.no_grad():
        again = kept(weight, real)
    assert not again.requires_grad
    assert kept(weight, real).data_ptr() == again.data_ptr() == first.data_ptr()
    assert again._version == version
    with torch.no_grad():
        real.neg_()
    assert torch.equal(kept(weight, real), plain(weight, real))
    assert first._version == version + 1
    weight.fill_(3.0)
    assert torch.equal(kept(weight, real), plain(weight, real))
    assert first._version == version + 2


def test_a_selection_follows_tensors_that_are_others() -> None:
    kept = Selection()
    for shape, seed in (((4, 4), 0), ((4, 4), 1), ((5, 4), 1), ((4, 4), 0)):
        weight, real = weights(*shape), scores(*shape, seed=seed)
        assert torch.equal(kept(weight, real).nan_to_num(7), plain(weight, real).nan_to_num(7))
    real.data = scores(4, 4, seed=5).data  # as `nn.Module.to` does it
    assert torch.equal(kept(weight, real).nan_to_num(7), plain(weight, real).nan_to_num(7))


def test_a_graph_over_memory_that_was_written_since_is_refused() -> None:
    weight, real, kept, x = torch.randn(3, 3), scores(3, 3), Selection(), torch.randn(3, 3, requires_grad=True)
    loss = (x @ kept(weight, real)).sum()
    with torch.no_grad():
        real.neg_()
        kept(weight, real)  # an evaluation, say
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    assert real.grad is None


def test_two_graphs_over_one_selection_both_count() -> None:
    weight, real, kept = torch.randn(3, 3), scores(3, 3), Selection()
    first, second = kept(weight, real).sum(), 2 * kept(weight, real).sum()
    second.backward()
    first.backward()
    assert real.grad is not None
    torch.testing.assert_close(real.grad, 3 * weight)


def test_a_selection_first_made_for_inference_can_be_trained_through() -> None:
    weight, real, kept = torch.randn(3, 3), scores(3, 3), Selection()
    with torch.inference_mode():
        kept(weight, real)
    (torch.randn(3, 3, requires_grad=True) @ kept(weight, real)).sum().backward()
    assert real.grad is not None
    with torch.inference_mode():
        real.neg_()
        assert torch.equal(kept(weight, real), plain(weight, real))


def test_copies_of_a_selection_start_without_its_memory() -> None:
    weight, real, kept = torch.randn(3, 3), scores(3, 3), Selection()
    ours = kept(weight, real)
    for other in (copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        theirs = other(weight, real)
        assert torch.equal(theirs, ours)
        assert theirs.data_ptr() != ours.data_ptr()
