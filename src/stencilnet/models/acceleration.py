"""Which fast paths a device has: bfloat16 arithmetic and `torch.compile`."""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Names of bfloat16 arithmetic in `torch.cpu.get_capabilities`: x86, x86 with tiles, Arm."""


@cache
def has_fast_bf16(device: str) -> bool:
    """Return whether a device supports bfloat16 natively; others emulate it, many times slower than float32.

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
    """Return whether `torch.compile` works on a device. It is tried once, on a small function; a failure is logged.

    It needs a C++ compiler and Python's headers on a CPU, Triton on CUDA, and a writable folder.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
    """
    if device == "mps":
        return False
    try:
        torch.compile(_probe)(torch.ones(8, device=device))
    except (RuntimeError, OSError) as error:  # from any part of its toolchain; OSError from an unwritable cache
        reason = str(error).strip().partition("\n")[0]
        logger.warning("torch.compile does not work here, so nothing is compiled, which is slower: %s", reason)
        return False
    return True


def _probe(x: Tensor) -> Tensor:
    return x.mul(2).add(1)
