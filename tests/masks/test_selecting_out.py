"""Selecting into given memory, and the kernel for CUDA by Triton's interpreter: the same bytes again."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor

from stencilnet.delta import BitMask
from stencilnet.masks.selecting import _CHUNK, select_packed

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.complex64]
SHAPES = [(), (1,), (7,), (8,), (3, 5, 3, 3), (0, 4), (_CHUNK + 11,), (_CHUNK,)]


def as_bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def expected(weight: Tensor, bits: Tensor) -> bytes:
    """The bytes of the selected weights by NumPy: a weight's own, or zeros."""
    size = weight.element_size()
    own = np.frombuffer(as_bytes(weight), dtype=np.uint8).reshape(-1, size)
    return np.where(bits.reshape(-1, 1).numpy(), own, np.uint8(0)).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_written_in_place(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(len(shape))
    weight = torch.randn(shape, generator=generator).to(dtype)
    bits = torch.rand(shape, generator=generator) > 0.5
    out = torch.full_like(weight, 3)
    place = out.data_ptr()
    assert select_packed(weight, BitMask.pack(bits), out) is out
    assert out.data_ptr() == place
    assert as_bytes(out) == expected(weight, bits)


@pytest.mark.parametrize("keep", [True, False])
def test_odd_numbers_are_kept_and_cleared_whole(keep: bool) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, -1.0, 1e-45, -1e-45, 3e38, 0.0])
    bits, out = torch.full(odd.shape, keep), torch.full_like(odd, float("nan"))
    assert as_bytes(select_packed(odd, BitMask.pack(bits), out)) == expected(odd, bits)


def test_memory_in_another_order_is_written_too() -> None:
    weight = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    bits = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.5
    out = torch.empty_like(weight, memory_format=torch.channels_last)
    select_packed(weight, BitMask.pack(bits), out)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert as_bytes(out) == expected(weight, bits)


def test_a_parameter_is_written_without_a_gradient() -> None:
    weight, out = torch.ones(9, requires_grad=True), torch.zeros(9, requires_grad=True)
    bits = torch.arange(9) % 2 == 0
    select_packed(weight, BitMask.pack(bits), out)
    assert torch.equal(out.detach(), bits.float())
    assert out.grad_fn is None


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (torch.zeros(8), r"`out` to be torch.float32 of shape \(9,\) on cpu, .* of shape \(8,\) on cpu"),
        (torch.zeros(9).double(), r"but got torch.float64 of shape \(9,\)"),
        (torch.zeros(9, device="meta"), r"but got torch.float32 of shape \(9,\) on meta"),
    ],
)
def test_other_memory_is_refused(out: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_packed(torch.ones(9), BitMask.pack(torch.ones(9) > 0), out)


def test_the_weights_own_memory_is_refused() -> None:
    weight = torch.ones(9)
    with pytest.raises(ValueError, match="`out` to have its own memory"):
        select_packed(weight, BitMask.pack(weight > 2), weight)
    assert torch.equal(weight, torch.ones(9))


INTERPRETED = """
import torch
from stencilnet.masks.selecting_cuda import select_fused
for integer in (torch.int8, torch.int16, torch.int32, torch.int64):
    sizes = (0, 1, 7, 8, 4096, 4097, 10003)
    given, packed = [], []
    for size in sizes:
        generator = torch.Generator().manual_seed(size)
        g = torch.randint(-(2**7), 2**7, (size,), generator=generator).to(integer)
        given.append(g * 3 if integer is not torch.int8 else g)
        packed.append(torch.randint(0, 256, (-(-size // 8),), generator=generator, dtype=torch.uint8))
    taken = [torch.full_like(g, 5) for g in given]
    select_fused(given, packed, taken)
    for g, p, t in zip(given, packed, taken, strict=True):
        bits = [int(p[i // 8]) >> i % 8 & 1 for i in range(g.numel())]
        assert t.tolist() == [v * b for v, b in zip(g.tolist(), bits)], (integer, g.numel())
print("same bytes")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not there")
def test_the_fused_kernel_by_the_interpreter() -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "same bytes"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("shape", SHAPES)
def test_cuda_gives_the_same_bytes(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    bits = torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.5
    out = select_packed(weight.cuda(), BitMask.pack(bits))
    assert as_bytes(out.cpu()) == expected(weight, bits)
