"""Replacements for training and probing that only measure a few steps, to forecast the cost of a run."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from stencilnet.masks import Trainable
from stencilnet.methods import Penalty, Probe
from stencilnet.models import MultiTaskNet
from stencilnet.training.job import Job, scaled
from stencilnet.training.settings import Resolved
from stencilnet.training.timing import StepCost, time_steps

T = TypeVar("T", bound=Trainable)


@dataclass(frozen=True, kw_only=True)
class MeasuredTraining:
    """A training of which a few steps were measured.

    Attributes:
        cost: Cost of one step.
        steps: Number of steps that the training would take.
        growth: Bytes by which the trained delta would exceed the untrained one (`Trainable.expected_growth`).
    """

    cost: StepCost
    steps: int
    growth: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Measuring:
    """A `stencilnet.methods.Fit` that measures a few steps on a copy and returns the trainable unchanged.

    Attributes:
        net: The network whose backbone is run.
        job: The training job.
        key: The task's name.
        resolved: Device and precision.
        costs: Earlier measurements by kind of training, which are reused and extended.
        say: Called with a message before each measurement.
        patience: Time limit of a measurement in seconds; see `time_steps`. Default: 2.
        found: The trainings so far.
    """

    net: MultiTaskNet
    job: Job
    key: str
    resolved: Resolved
    costs: dict[object, StepCost]
    say: Callable[[str], None]
    patience: float = 2.0
    found: list[MeasuredTraining] = field(default_factory=list)

    def __call__(self, trainable: T, *, penalty: Penalty | None = None, share: float = 1.0, lr_scale: float = 1.0) -> T:
        """Measure a few steps, unless a training of this kind has been measured already."""
        shapes = {role: [tuple(p.shape) for p in group] for role, group in trainable.groups().items()}
        key = (self.key, type(trainable).__name__, repr(shapes), None if penalty is None else penalty.name)
        if key not in self.costs:
            self.say(f"measuring {self.job.name}")
            self.costs[key] = time_steps(
                self.net.backbone, trainable, self.job, self.resolved, penalty=penalty, patience=self.patience
            )
        steps = scaled(self.job, share, lr_scale).recipe.steps
        self.found.append(MeasuredTraining(cost=self.costs[key], steps=steps, growth=trainable.expected_growth))
        return trainable


@dataclass(kw_only=True, eq=False)
class CountingProbe:
    """A `stencilnet.methods.Probe` that yields one input, and counts how many were requested.

    Attributes:
        probe: The probe that is used.
        requested: Number of inputs requested so far.
    """

    probe: Probe
    requested: int = 0

    def inputs(self, count: int) -> Iterator[Tensor]:
        """Yield the first of the inputs."""
        self.requested += count
        yield from islice(self.probe.inputs(count), 1)

    def run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Run the network."""
        return self.probe.run(weights, images)

    def generator(self) -> torch.Generator:
        """Return the probe's generator."""
        return self.probe.generator()


def untouched(
    trainable: T,
    *,
    penalty: Penalty | None = None,  # noqa: ARG001 (a Fit's signature)
    share: float = 1.0,  # noqa: ARG001
    lr_scale: float = 1.0,  # noqa: ARG001
) -> T:
    """Return a trainable unchanged: a `stencilnet.methods.Fit` for trainings that are not measured."""
    return trainable


@contextmanager
def silenced(name: str) -> Iterator[None]:
    """Silence a method's logger: its warnings about untrained weights are pointless here."""
    logger = logging.getLogger(name)

    def never(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(never)
    try:
        yield
    finally:
        logger.removeFilter(never)
