"""Random numbers as a function of where they are drawn, so that resuming needs no generator states."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

ORDER, CRITIC, STEP, PROBE = 0, 1, 2, 3
"""Purpose of a derived seed; seeds of different purposes are independent."""


def derived_seed(*parts: int) -> int:
    """Return a 64-bit seed derived from non-negative integers by NumPy's `SeedSequence`, stable across versions."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


@contextmanager
def forked(device: str, *parts: int) -> Iterator[None]:
    """Run the body with PyTorch's generators seeded from `parts`, and restore their states afterwards.

    This is for code that draws from the global generators: initial weights of layers, dropout.
    """
    seed = derived_seed(*parts)
    devices = [] if device == "cpu" else [0 if device == "mps" else torch.cuda.current_device()]
    with torch.random.fork_rng(devices=devices, device_type="cuda" if device == "cpu" else device):
        # torch.manual_seed would also reseed devices that are not forked here, and takes twenty times as long.
        torch.default_generator.manual_seed(seed)
        if device == "cuda":
            torch.cuda.manual_seed(seed)
        elif device == "mps":
            torch.mps.manual_seed(seed)
        yield
