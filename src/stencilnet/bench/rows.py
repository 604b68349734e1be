"""A row of the performance table: what is measured, against what, and what it must reach."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from stencilnet.bench.machine import Measured, ratio
from stencilnet.models.acceleration import has_fast_bf16

WIDTH, SIZE = 64, 256
"""The paper's network, and its image size in pixels."""


class NotHereError(Exception):
    """What a row needs is not on this machine; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a ratio has to reach.

    Attributes:
        least: It must be at least that; None for no bound.
        most: It must be at most that; None for no bound.
    """

    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Return whether a ratio reaches it."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        return f"at least {self.least:g}" if self.most is None else f"at most {self.most:g}"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What to measure with.

    Attributes:
        device: ``cpu`` or ``cuda``.
        width: Channels of the network's first level.
        size: Side of an image, in pixels.
        repetitions: How often each number is taken; at least twice.
        folder: An empty folder for what has to be on disk.
        say: Told what is going on.
    """

    device: str
    width: int
    size: int
    repetitions: int
    folder: Path
    say: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured.

    Attributes:
        unit: Of both figures.
        first: What the row is about, once a repetition.
        second: What it is held against, beside it in the same repetition.
        ratio: Of both, repetition by repetition: usually `first` by `second`.
        note: What else belongs to the number.
    """

    unit: str
    first: Measured
    second: Measured
    ratio: Measured
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """A row of the table.

    Attributes:
        name: To ask for it by.
        what: What is measured.
        against: What it is held against.
        target: What the ratio must reach; None for a number that stands beside another row's.
        measure: Measures it; raises `NotHereError` where that cannot be done.
        cuda: Another target on a GPU; one without bounds for none.
        bf16: Another one on a CPU with bfloat16 instructions.
    """

    name: str
    what: str
    against: str
    target: Target | None
    measure: Callable[[Setting], Found]
    cuda: Target | None = None
    bf16: Target | None = None

    def on(self, device: str) -> "BenchRow":
        """Return the row with the target that holds on a device of this machine."""
        special = self.cuda if device == "cuda" else self.bf16 if has_fast_bf16(device) else None
        target = self.target if special is None else special
        return replace(self, target=None if target == Target() else target)


def interleaved(
    arms: Mapping[str, Callable[[], object]], setting: Setting, *, calls: int = 1, repetitions: int = 0
) -> dict[str, Measured]:
    """Time several things side by side: each repetition takes all of them, one after the other.

    Args:
        arms: What to time, by name; each is called before: once, on a GPU `calls` times.
        setting: Gives device and repetitions.
        calls: How often each is called in one repetition; their mean is taken.
        repetitions: Another number of them; 0 for the setting's.

    Returns:
        Seconds a call, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in arms}
    for call in arms.values():
        seconds(call, setting.device, calls if setting.device == "cuda" else 1)
    for _ in range(repetitions or setting.repetitions):
        for name, call in arms.items():
            times[name].append(seconds(call, setting.device, calls))
    return {name: Measured(values=tuple(values)) for name, values in times.items()}


def seconds(call: Callable[[], object], device: str, calls: int = 1) -> float:
    """Return the mean seconds of some calls, the device's work included."""
    _wait(device)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    _wait(device)
    return (time.perf_counter() - started) / calls


def compared(first: Measured, second: Measured, unit: str, note: str = "") -> Found:
    """Return two figures and the first by the second."""
    return Found(unit=unit, first=first, second=second, ratio=ratio(first, second), note=note)


def speedup(first: Measured, second: Measured, unit: str, note: str = "") -> Found:
    """Return two times and how many times faster the first is."""
    return Found(unit=unit, first=first, second=second, ratio=ratio(second, first), note=note)


def scaled(measured: Measured, factor: float) -> Measured:
    """Return a quantity in another unit."""
    return Measured(values=tuple(value * factor for value in measured.values))


def per_second(count: int, measured: Measured) -> Measured:
    """Return how many a second, given the seconds that `count` of them took."""
    return Measured(values=tuple(count / value for value in measured.values))


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
