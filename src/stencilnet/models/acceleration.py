"""Which fast paths a device has: bfloat16 arithmetic, and graphs that `torch.compile` makes."""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""What `torch.cpu.get_capabilities` calls bfloat16 arithmetic: on x86, as a tile unit, on Arm."""


@cache
def has_fast_bf16(device: str) -> bool:
    """Return whether a device computes in bfloat16 itself; others imitate it, many times slower than float32.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    told: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # not in every PyTorch
    capabilities = told()
    return device == "cpu" and any(capabilities.get(name) for name in _BF16)


@cache
def can_compile(device: str) -> bool:
    """Return whether `torch.compile` works on a device: tried once, on a small function; if not, it is logged why.

    It needs a C++ compiler and Python's headers on a CPU, Triton on CUDA, and a folder to write to.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
    """
    if device == "mps":
        return False
    try:
        torch.compile(_probe)(torch.ones(8, device=device))
    except (RuntimeError, OSError) as error:  # whichever part of its chain fails; a cache that cannot be written
        reason = str(error).strip().partition("\n")[0]
        logger.warning("torch.compile does not work here, so nothing is compiled, which is slower: %s", reason)
        return False
    return True


def _probe(x: Tensor) -> Tensor:
    return x.mul(2).add(1)
