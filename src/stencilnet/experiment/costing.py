"""Seconds of a training, calculated from the measured cost of a step."""

import math
from dataclasses import dataclass

from stencilnet.data.samples import CACHE_BYTES
from stencilnet.training.timing import StepCost


@dataclass(frozen=True, kw_only=True)
class Part:
    """The size of a part of a task's data.

    Attributes:
        examples: Number of examples.
        bytes: Bytes of a cached example.
    """

    examples: int
    bytes: int


def training_seconds(cost: StepCost, part: Part, *, steps: int, batch: int, workers: int) -> float:
    """Return the seconds of all steps of a training, with the loading that does not overlap with them."""
    return overlapped(steps * cost.seconds, loading_seconds(cost, part, steps * batch), workers)


def validating_seconds(cost: StepCost, part: Part, *, steps: int, every: int, workers: int) -> float:
    """Return the seconds of all evaluations of a training on its validation data, one after `every` steps."""
    seen = math.ceil(steps / every) * part.examples
    return overlapped(seen * cost.scoring, loading_seconds(cost, part, seen), workers)


def loading_seconds(cost: StepCost, part: Part, count: int) -> float:
    """Return the seconds in which one process loads `count` examples, with those cached after the first epoch."""
    kept = min(1.0, CACHE_BYTES / max(1, part.examples * part.bytes))
    again = kept * max(0, count - part.examples)
    return (count - again) * cost.loading + again * cost.augmenting


def overlapped(seconds: float, loading: float, workers: int) -> float:
    """Return the total seconds: workers load while the device computes; without workers it waits."""
    return max(seconds, loading / workers) if workers else seconds + loading
