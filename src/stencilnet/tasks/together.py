"""Several tasks combined into one, for joint training of a network with a joint head."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from stencilnet.pictures.images import Floats
from stencilnet.tasks.checks import examples_in
from stencilnet.tasks.task import Metric, Predictor, Recipe, Sample, Scores, Task

_INSIDE = ":"
"""Separates a task's name from the name of a tensor or loss term; task names do not contain it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Together:
    """Joint training of several tasks: the sum of their losses, each divided by its scale.

    A training sample has an example of every task; a validation sample may have fewer. The network receives all images
    of a batch in one tensor, ordered by task, and returns the channels of all tasks in the same order; each task gets
    its own rows and channels. A part of a batch is weighted by its number of images, whatever the tasks' `Task.weight`.

    Attributes:
        tasks: Tasks by name.
        scales: Divisor of each task's loss, by name.
    """

    kind: ClassVar[str] = "together"
    tasks: Mapping[str, Task]
    scales: Mapping[str, float]

    @property
    def channels(self) -> int:
        """Total number of channels of all tasks."""
        return sum(task.channels for task in self.tasks.values())

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of all tasks; each name is prefixed with the task's."""
        return tuple(
            Metric(name=f"{name}{_INSIDE}{metric.name}", higher_is_better=metric.higher_is_better, note=metric.note)
            for name, task in self.tasks.items()
            for metric in task.metrics
        )

    @property
    def trivial(self) -> str:
        """``none``: joint training has no trivial baseline."""
        return "none"

    @classmethod
    def recipe(cls) -> Recipe:
        """Return the default recipe of all kinds."""
        return Recipe()

    def settings(self) -> dict[str, Any]:
        """Return the settings of all tasks."""
        return {name: {"kind": task.kind, **task.settings()} for name, task in self.tasks.items()}

    def sample(self, example: object) -> dict[str, Tensor]:
        """Raise an error: an example belongs to a single task (see `joined`)."""
        raise TypeError(f"Expected examples of single tasks, but got {example!r} for all. Join their samples.")

    def prepare(self, sample: Sample) -> dict[str, Tensor]:
        """Return the prepared samples of all tasks, prefixed with their names, and all inputs as one batch.

        Args:
            sample: A batched, compact sample.
        """
        prepared = {name: task.prepare(self._of(sample, name)) for name, task in self._present(sample).items()}
        return {"input": torch.cat([own["input"] for own in prepared.values()]), **joined(prepared)}

    def weight(self, sample: Sample) -> Tensor:
        """Return the number of images."""
        return examples_in(sample)

    def loss(self, output: Tensor, sample: Sample, critic: nn.Module | None) -> dict[str, Tensor]:
        """Return the loss terms of all tasks, divided by their scales."""
        terms: dict[str, Tensor] = {}
        for name, own, given in self._parts(output, sample):
            adversary = None if critic is None else dict(critic.named_children()).get(_child(name))
            found = self.tasks[name].loss(own, given, adversary)
            terms |= {f"{name}{_INSIDE}{term}": value / self.scales[name] for term, value in found.items()}
        return terms

    def critic(self) -> nn.Module | None:
        """Return the critics of all tasks that have one; None if no task has one."""
        found = {name: task.critic() for name, task in self.tasks.items()}
        critics = {_child(name): critic for name, critic in found.items() if critic is not None}
        return nn.ModuleDict(critics) if critics else None

    def critic_loss(self, critic: nn.Module, output: Tensor, sample: Sample) -> Tensor:
        """Return the sum of the critics' losses."""
        critics = dict(critic.named_children())
        losses = [
            self.tasks[name].critic_loss(critics[_child(name)], own, given)
            for name, own, given in self._parts(output, sample)
            if _child(name) in critics
        ]
        return torch.stack(losses).sum()

    def scores(self) -> "_Scores":
        """Return new accumulators of all tasks."""
        return _Scores(self, {name: task.scores() for name, task in self.tasks.items()})

    def baseline(self, training: Iterable[Sample]) -> Predictor:
        """Raise an error: joint training has no trivial baseline."""
        raise TypeError(f"Expected a single task, but got {', '.join(self.tasks)} ({training!r}). Use them one by one.")

    def to_input(self, image: Image.Image) -> Floats:
        """Raise an error: each task converts a photo in its own way."""
        raise TypeError(f"Expected a single task for {image!r}, but got {', '.join(self.tasks)}. Use them one by one.")

    def _parts(self, output: Tensor, sample: Sample) -> list[tuple[str, Tensor, dict[str, Tensor]]]:
        """Return each present task's name, its part of the output, and its prepared sample."""
        found, row, channel = [], 0, 0
        present = self._present(sample)
        for name, task in self.tasks.items():
            if name in present:
                given = self._of(sample, name)
                rows = len(given["input"])
                found.append((name, output[row : row + rows, channel : channel + task.channels], given))
                row += rows
            channel += task.channels
        return found

    def _present(self, sample: Sample) -> dict[str, Task]:
        names = {name.partition(_INSIDE)[0] for name in sample}
        return {name: task for name, task in self.tasks.items() if name in names}

    def _of(self, sample: Sample, task: str) -> dict[str, Tensor]:
        start = task + _INSIDE
        return {name.removeprefix(start): tensor for name, tensor in sample.items() if name.startswith(start)}


class _Scores:
    def __init__(self, together: Together, scores: Mapping[str, Scores]) -> None:
        self._together = together
        self._scores = scores

    def update(self, output: Tensor, sample: Sample) -> None:
        for name, own, given in self._together._parts(output, sample):
            self._scores[name].update(own, given)

    def compute(self) -> dict[str, float]:
        return {
            f"{name}{_INSIDE}{metric}": value
            for name, scores in self._scores.items()
            for metric, value in scores.compute().items()
        }


def joined(samples: Mapping[str, Sample]) -> dict[str, Tensor]:
    """Combine the samples of several tasks into one, with keys prefixed by the tasks' names."""
    return {f"{name}{_INSIDE}{key}": tensor for name, sample in samples.items() for key, tensor in sample.items()}


def score(scores: Mapping[str, float], task: str) -> dict[str, float]:
    """Return one task's scores from the scores of several tasks."""
    start = task + _INSIDE
    return {name.removeprefix(start): value for name, value in scores.items() if name.startswith(start)}


def _child(name: str) -> str:
    return name.replace(".", ":")  # names of child modules must not contain dots
