"""Repeated measurements, and the machine on which they were made."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from stencilnet.learning.provenance import hardware, provenance

LEAST = 2
"""Minimum number of repetitions; fewer say nothing about a number's spread."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A quantity, measured several times.

    Attributes:
        values: One value per repetition, in order.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        check_repetitions(len(self.values))

    @property
    def median(self) -> float:
        """The median value, which represents the quantity."""
        return median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(self.values), max(self.values)


def check_repetitions(count: int) -> None:
    """Refuse too few repetitions, which say nothing about a number's spread.

    Raises:
        ValueError: If there are fewer than two repetitions.
    """
    if count < LEAST:
        raise ValueError(
            f"Expected at least {LEAST} repetitions, but got {count}: a single one does not show how much a number "
            "varies, so it gives no ratio. Ask for more (`--repetitions`)."
        )


def ratio(first: Measured, second: Measured) -> Measured:
    """Return the first quantity divided by the second, repetition by repetition."""
    return Measured(values=tuple(a / b for a, b in zip(first.values, second.values, strict=True)))


def machine(device: str) -> dict[str, Any]:
    """Return the facts that accompany every number: date, commit, versions, and the hardware in words."""
    facts = provenance(device)
    return {**facts, "hardware": hardware(facts)}


def machine_line(facts: Mapping[str, Any]) -> str:
    """Return the facts of `machine` as one line."""
    return f"{facts['date']}, commit {facts['commit'] or '-'}, torch {facts['torch']}, {facts['hardware']}"
