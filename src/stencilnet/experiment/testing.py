"""Tests a state on test data, once for every set of weights, and describes its stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stencilnet.analysis.masks import zero_ratio
from stencilnet.bundle.tensors import encode_delta
from stencilnet.config.schema import Experiment, sources
from stencilnet.data.official.files import has_replicas
from stencilnet.data.samples import EvaluationSamples
from stencilnet.data.sources import ScenesSource, spread
from stencilnet.delta.digest import weights_digest
from stencilnet.delta.rounding import parts
from stencilnet.evaluation.evaluate import evaluate
from stencilnet.evaluation.protocol import TRIVIAL, Stage
from stencilnet.evaluation.results import Sizes, StageResult, TaskCard
from stencilnet.experiment.cards import card
from stencilnet.experiment.pictures import save_pictures
from stencilnet.inference.forward import Forward
from stencilnet.learning.opening import TaskData
from stencilnet.learning.provenance import hardware, provenance
from stencilnet.masks import arrays_of
from stencilnet.models import MultiTaskNet
from stencilnet.models.cost import multiply_adds
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.task import Predictor, Sample, Task
from stencilnet.training.settings import resolve

UNTESTED = "Measured on the validation data, which selected the training step: the config has no test data."
"""The note of results without test data."""

_BATCH = 16
"""Maximum number of test examples per forward pass; fewer if they are larger than 256x256 pixels, see
`stencilnet.training.sampling.PIXELS`."""
_FITTING = 200
"""Maximum number of training examples that a trivial baseline is fitted to."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tester:
    """Tests the states of an experiment, of any stage.

    Attributes:
        experiment: The config.
        tasks: Tasks by name, style tasks bound.
        data: Opens a task's data by name.
        root: Root folder of the data.
    """

    experiment: Experiment
    tasks: Mapping[str, Task]
    data: Callable[[str], TaskData]
    root: Path

    def row(
        self, net: MultiTaskNet, tasks: Sequence[str], done: Sequence[StageResult]
    ) -> tuple[dict[str, Mapping[str, float]], dict[str, str]]:
        """Test some tasks of a state, and return their metrics and the digests of their weights.

        Args:
            net: The state.
            tasks: Names of the tasks to test.
            done: Results so far. Their metrics are reused for equal weights, which give equal outputs.
        """
        known = {(task, digest): result.metrics[task] for result in done for task, digest in result.digests.items()}
        digests = {task: weights_digest(arrays_of(net.state.weights(task))) for task in tasks}
        metrics = {
            task: known.get((task, digest)) or self.measure(task, self.network(net, task))
            for task, digest in digests.items()
        }
        return metrics, digests

    def result(self, stage: Stage, net: MultiTaskNet, tasks: Sequence[str], done: Sequence[StageResult]) -> StageResult:
        """Test a state, and return the stage's result.

        Args:
            stage: The stage.
            net: The state after it.
            tasks: Names of the tasks to test.
            done: As for `row`.
        """
        metrics, digests = self.row(net, tasks, done)
        record, codes = net.records[stage.task], net.deltas[stage.task].weight_codes
        return StageResult(
            method=stage.method,
            task=stage.task,
            card=self._card(stage.task),
            parent=stage.parent,
            moves_shared=stage.moves_shared,
            metrics=metrics,
            digests=digests,
            validation=record.metrics["scores"][self.tasks[stage.task].metrics[0].name],
            selected_step=record.metrics["step"],
            seconds=record.provenance["seconds"],
            sizes=measure_sizes(net, stage.task),
            stored=len(encode_delta(net.deltas[stage.task])),
            multiply_adds=multiply_adds(net.materialize(stage.task)),
            zero_ratio=zero_ratio(codes) if codes else None,
            notes=(*self._notes(stage.task), *_stored(net)),
            **self._origin(trained=record.provenance),
        )

    def trivial(self, name: str) -> StageResult:
        """Test a task's trivial baseline."""
        return StageResult(
            method=TRIVIAL,
            task=name,
            card=self._card(name),
            moves_shared=False,
            metrics={name: self.measure(name, self.baseline(name))},
            **self._origin(),
        )

    def baseline(self, name: str) -> Predictor:
        """Return a task's trivial baseline, fitted to its training examples."""
        view, task = self.experiment.plan(name).view, self.tasks[name]
        training = EvaluationSamples(self.data(name).train, view, task, whole=False)
        return task.baseline(task.prepare(training[index]) for index in spread(_FITTING, len(training)))

    def measure(self, name: str, predict: Predictor) -> dict[str, float]:
        """Measure a predictor on a task's test examples."""
        return evaluate(
            predict,
            self.tasks[name],
            self.samples(name),
            batch=_BATCH,
            device=self._device,
            workers=self.experiment.trainer.workers,
        )

    def samples(self, name: str) -> EvaluationSamples:
        """Return a task's test samples, whole or cropped as its view says."""
        plan = self.experiment.plan(name)
        return EvaluationSamples(self.data(name).test, plan.view, self.tasks[name], whole=plan.view.test == "whole")

    def network(self, net: MultiTaskNet, name: str, precision: str = "float32") -> Predictor:
        """Return a predictor that runs a task's weights as a plain module.

        Args:
            net: The network.
            name: Name of the task.
            precision: One of `stencilnet.runtime.PRECISIONS`.
        """
        module, channels = net.materialize(name).to(self._device), self.tasks[name].channels
        forward = Forward(torch.device(self._device), precision)

        def predict(sample: Sample) -> Tensor:
            return forward(module, sample["input"], channels)

        return predict

    def save_pictures(self, name: str, label: str, predict: Predictor, folder: Path) -> None:
        """Write a predictor's output pictures for a few test examples, spread over the split."""
        samples = self.samples(name)
        positions = spread(self.experiment.pictures, len(samples))
        with torch.no_grad():
            save_pictures(folder, label, predict, self.tasks[name], samples, positions)

    @property
    def _device(self) -> str:
        return resolve(self.experiment.trainer).device

    def _card(self, name: str) -> TaskCard:
        """Describe a task, and mark drawn replicas, so that their numbers are not taken for those of the real data."""
        described = card(self.experiment, self.tasks[name], name)
        from_files = any(not isinstance(s, ScenesSource) for s in sources(self.experiment.plan(name)).values())
        if from_files and has_replicas(self.root):
            return replace(described, data=f"{described.data} [a drawn replica, not the real data]")
        return described

    def _notes(self, name: str) -> tuple[str, ...]:
        task = self.tasks[name]
        bound_to = task.bound_to if isinstance(task, PerceptualTask) else None
        return (
            *(() if bound_to is None else (f"Perceptual network of style losses: {bound_to}.",)),
            *((UNTESTED,) if self.experiment.plan(name).data.test is None else ()),
        )

    def _origin(self, trained: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the provenance of a result: this machine, and the one that trained the task if it is another."""
        origin = provenance(self._device)
        here, there = hardware(origin), hardware(trained or origin)
        commits = dict.fromkeys(found["commit"] or "" for found in (trained or origin, origin))
        return {
            "seed": self.experiment.seed,
            "commit": ", tested at ".join(filter(None, commits)),
            "hardware": here if here == there else f"{there}; tested on {here}",
            "versions": {name: str(origin[name]) for name in ("stencilnet", "python", "torch")},
            "date": origin["date"],
        }


def _stored(net: MultiTaskNet) -> tuple[str, ...]:
    return (
        ()
        if net.stored == "float32"
        else (f"The shared weights are stored as {net.stored}; their size is that of this format.",)
    )


def measure_sizes(net: MultiTaskNet, task: str) -> Sizes:
    """Return the bytes of a task's delta, of the shared weights, and of a whole network for this task alone."""
    state = net.state
    return Sizes(
        delta=state.deltas[task].nbytes,
        shared=sum(array.nbytes for array in parts(arrays_of(state.shared), state.stored).values()),
        snapshot=sum(tensor.nbytes for tensor in state.weights(task).values()),
    )
