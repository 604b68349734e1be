"""Numbers and where they come from: repeated measurements, and the machine they were taken on."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from stencilnet.learning.provenance import hardware, provenance

LEAST = 2
"""Repetitions without which nothing is known of a number's spread."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A quantity, measured several times.

    Attributes:
        values: One a repetition, in order.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        check_repetitions(len(self.values))

    @property
    def median(self) -> float:
        """What stands for it."""
        return median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Its smallest and its largest value."""
        return min(self.values), max(self.values)


def check_repetitions(count: int) -> None:
    """Refuse numbers whose spread nobody would know.

    Raises:
        ValueError: If there are fewer than two repetitions.
    """
    if count < LEAST:
        raise ValueError(
            f"Expected at least {LEAST} repetitions, but got {count}: one alone does not tell how far a number "
            "varies, and no ratio is made of it. Ask for more (`--repetitions`)."
        )


def ratio(first: Measured, second: Measured) -> Measured:
    """Return how many times the second the first one is, repetition by repetition."""
    return Measured(values=tuple(a / b for a, b in zip(first.values, second.values, strict=True)))


def machine(device: str) -> dict[str, Any]:
    """Return what stands beside every number: date, commit, versions, and the hardware in words."""
    facts = provenance(device)
    return {**facts, "hardware": hardware(facts)}


def machine_line(facts: Mapping[str, Any]) -> str:
    """Return the facts of `machine` in a line."""
    return f"{facts['date']}, commit {facts['commit'] or '-'}, torch {facts['torch']}, {facts['hardware']}"
