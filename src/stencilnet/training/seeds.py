"""Randomness as a function of where it is drawn, so that nothing has to be remembered to resume."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

ORDER, CRITIC, STEP, PROBE = 0, 1, 2, 3
"""What a derived seed is for; seeds of different purposes are independent."""


def derived_seed(*parts: int) -> int:
    """Return a 64-bit seed made of non-negative integers, by NumPy's `SeedSequence`: stable across versions."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


@contextmanager
def forked(device: str, *parts: int) -> Iterator[None]:
    """Run the body under PyTorch generators seeded from `parts`; afterwards they are as they were.

    For code that draws from the global generators: layers' initial weights, dropout.
    """
    seed = derived_seed(*parts)
    devices = [] if device == "cpu" else [0 if device == "mps" else torch.cuda.current_device()]
    with torch.random.fork_rng(devices=devices, device_type="cuda" if device == "cpu" else device):
        # Not torch.manual_seed: it would also reseed devices that are not forked here, and takes twenty times as long.
        torch.default_generator.manual_seed(seed)
        if device == "cuda":
            torch.cuda.manual_seed(seed)
        elif device == "mps":
            torch.mps.manual_seed(seed)
        yield
