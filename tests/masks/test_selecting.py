"""Selecting straight from packed bits: bit for bit the plain definition."""

import pytest
import torch
from torch import Tensor

from stencilnet.delta import BitMask
from stencilnet.masks.selecting import _CHUNK, select_packed


def plain(weight: Tensor, bits: Tensor) -> Tensor:
    return torch.where(bits, weight, torch.zeros((), dtype=weight.dtype))


def same_bytes(one: Tensor, other: Tensor) -> bool:
    def as_bytes(tensor: Tensor) -> bytes:
        return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()

    return one.dtype == other.dtype and one.shape == other.shape and as_bytes(one) == as_bytes(other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (8,), (3, 5, 3, 3), (0, 4), (2 * _CHUNK + 11,), (_CHUNK,)])
def test_it_is_where(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(len(shape))
    weight = torch.randn(shape, generator=generator).to(dtype)
    bits = torch.rand(shape, generator=generator) > 0.5
    assert same_bytes(select_packed(weight, BitMask.pack(bits)), plain(weight, bits))


def test_odd_numbers_are_kept_and_cleared_whole() -> None:
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, -1.0, 1e-45, -1e-45, 3e38, 0.0])
    for keep in (True, False):
        bits = torch.full(odd.shape, keep)
        assert same_bytes(select_packed(odd, BitMask.pack(bits)), plain(odd, bits))


def test_weights_out_of_order_in_memory_are_taken_in_order() -> None:
    weight = torch.randn(6, 10, generator=torch.Generator().manual_seed(0)).t()
    bits = torch.rand(10, 6, generator=torch.Generator().manual_seed(1)) > 0.5
    found = select_packed(weight, BitMask.pack(bits))
    assert same_bytes(found, plain(weight, bits))
    found += 1  # new memory: the weight stays as it is
    assert same_bytes(select_packed(weight, BitMask.pack(bits)), plain(weight, bits))


def test_gradients_pass_as_by_where() -> None:
    weight = torch.ones(9, requires_grad=True)
    bits = torch.arange(9) % 2 == 0
    select_packed(weight, BitMask.pack(bits)).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, bits.float())
