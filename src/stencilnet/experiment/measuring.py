"""Stand-ins for training and looking at data, by which a run is walked without being done: a few steps are measured."""

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
    """A training that was measured instead.

    Attributes:
        cost: Of one step.
        steps: How many there would be.
    """

    cost: StepCost
    steps: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Measuring:
    """A `stencilnet.methods.Fit` that measures a few steps on a copy and hands the trainable back as it came.

    Attributes:
        net: Gives the graph.
        job: What would be trained.
        key: The task's name.
        resolved: Device and precision.
        costs: What was measured before, for trainings of one kind cost the same.
        say: Told before each measurement.
        found: The trainings so far.
    """

    net: MultiTaskNet
    job: Job
    key: str
    resolved: Resolved
    costs: dict[object, StepCost]
    say: Callable[[str], None]
    found: list[MeasuredTraining] = field(default_factory=list)

    def __call__(self, trainable: T, *, penalty: Penalty | None = None, share: float = 1.0, lr_scale: float = 1.0) -> T:
        """Measure, unless a training of this kind was measured before."""
        shapes = {role: [tuple(p.shape) for p in group] for role, group in trainable.groups().items()}
        key = (self.key, type(trainable).__name__, repr(shapes), None if penalty is None else penalty.name)
        if key not in self.costs:
            self.say(f"measuring {self.job.name}")
            self.costs[key] = time_steps(self.net.backbone, trainable, self.job, self.resolved, penalty=penalty)
        steps = scaled(self.job, share, lr_scale).recipe.steps
        self.found.append(MeasuredTraining(cost=self.costs[key], steps=steps))
        return trainable


@dataclass(kw_only=True, eq=False)
class Glance:
    """A `stencilnet.methods.Probe` that shows one input, and counts how many were asked for.

    Attributes:
        probe: Shows it.
        asked: Inputs asked for so far.
    """

    probe: Probe
    asked: int = 0

    def inputs(self, count: int) -> Iterator[Tensor]:
        """Yield the first of the inputs."""
        self.asked += count
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
    """Hand a trainable back as it came: a `stencilnet.methods.Fit` for what is not to be measured."""
    return trainable


@contextmanager
def silenced(name: str) -> Iterator[None]:
    """Keep a method from remarking on weights that were not trained: that they were not is the point."""
    logger = logging.getLogger(name)

    def never(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(never)
    try:
        yield
    finally:
        logger.removeFilter(never)
