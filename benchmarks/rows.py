"""A row of the performance table: what is measured, against what, and its target."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.machine import Measured, ratio
from stencilnet.models.acceleration import has_fast_bf16

WIDTH, SIZE = 64, 256
"""Width of the paper's network, and its image size in pixels."""


class NotHereError(Exception):
    """This machine lacks something that a row needs; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The target of a ratio.

    Attributes:
        least: Lower bound; None for no bound.
        most: Upper bound; None for no bound.
    """

    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Return whether a ratio reaches the target."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        return f"at least {self.least:g}" if self.most is None else f"at most {self.most:g}"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The setting of a benchmark.

    Attributes:
        device: ``cpu`` or ``cuda``.
        width: Channels of the network's first level.
        size: Side of an image, in pixels.
        repetitions: Number of repetitions of each measurement, at least 2.
        folder: An empty folder for files.
        say: Called with progress messages.
    """

    device: str
    width: int
    size: int
    repetitions: int
    folder: Path
    say: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The measurements of a row.

    Attributes:
        unit: Unit of both quantities.
        first: The quantity that the row is about, one value per repetition.
        second: The quantity it is compared with, measured in the same repetitions.
        ratio: Ratio of both per repetition, usually `first` divided by `second`.
        note: A note on the number; empty (the default) for none.
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
        name: Name, as in `--row`.
        what: What is measured.
        against: What it is compared with.
        target: Target of the ratio; None for a number that is only compared with another row's.
        measure: Function that measures it; raises `NotHereError` where that is impossible.
        cuda: Target on a GPU, if it differs; one without bounds for no target.
        bf16: Target on a CPU with bfloat16 instructions, if it differs.
    """

    name: str
    what: str
    against: str
    target: Target | None
    measure: Callable[[Setting], Found]
    cuda: Target | None = None
    bf16: Target | None = None

    def on(self, device: str) -> "BenchRow":
        """Return the row with the target for a device of this machine."""
        special = self.cuda if device == "cuda" else self.bf16 if has_fast_bf16(device) else None
        target = self.target if special is None else special
        return replace(self, target=None if target == Target() else target)


def interleaved(
    arms: Mapping[str, Callable[[], object]], setting: Setting, *, calls: int = 1, repetitions: int = 0
) -> dict[str, Measured]:
    """Time several functions in turn: each repetition calls all of them, one after the other.

    Args:
        arms: Functions to time, by name. As a warm-up each is called once, on a GPU `calls` times.
        setting: The setting that gives the device and the number of repetitions.
        calls: Calls per repetition, of which the mean is taken. Default: 1.
        repetitions: Number of repetitions; 0 (the default) for the setting's.

    Returns:
        Seconds per call, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in arms}
    for call in arms.values():
        seconds(call, setting.device, calls if setting.device == "cuda" else 1)
    for _ in range(repetitions or setting.repetitions):
        for name, call in arms.items():
            times[name].append(seconds(call, setting.device, calls))
    return {name: Measured(values=tuple(values)) for name, values in times.items()}


def seconds(call: Callable[[], object], device: str, calls: int = 1) -> float:
    """Return the mean seconds of `calls` calls, including the device's work."""
    _wait(device)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    _wait(device)
    return (time.perf_counter() - started) / calls


def compared(first: Measured, second: Measured, unit: str, note: str = "") -> Found:
    """Return two quantities and the ratio of the first to the second."""
    return Found(unit=unit, first=first, second=second, ratio=ratio(first, second), note=note)


def speedup(first: Measured, second: Measured, unit: str, note: str = "") -> Found:
    """Return two times and the speedup of the first over the second."""
    return Found(unit=unit, first=first, second=second, ratio=ratio(second, first), note=note)


def scaled(measured: Measured, factor: float) -> Measured:
    """Return a quantity times a factor, to change its unit."""
    return Measured(values=tuple(value * factor for value in measured.values))


def per_second(count: int, measured: Measured) -> Measured:
    """Return the rate per second, given the seconds that `count` items took."""
    return Measured(values=tuple(count / value for value in measured.values))


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
