"""Samples of several tasks as one data set."""

from collections import Counter

import pytest

from stencilnet.data.samples import EvaluationSamples, TrainingSamples
from stencilnet.data.together import EvaluationTogether, TrainingTogether
from stencilnet.data.transforms import View
from stencilnet.scenes import Scenes
from stencilnet.tasks.colorization import Colorization
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Task

VIEW = View(crop=32)
TASKS: dict[str, tuple[Task, int]] = {
    "few": (Colorization(), 3),
    "many": (Segmentation(classes=tuple(f"class {number}" for number in range(16))), 7),
}


class Counted(TrainingSamples):
    def __init__(self, task: Task, count: int) -> None:
        super().__init__(Scenes(count=count, size=32), VIEW, task, 5)
        self.asked: list[tuple[int, int]] = []

    def __getitem__(self, key: tuple[int, int]):  # type: ignore[no-untyped-def]
        self.asked.append(key)
        return super().__getitem__(key)


def test_every_example_of_every_task_comes_as_often() -> None:
    samples = {name: Counted(task, count) for name, (task, count) in TASKS.items()}
    together = TrainingTogether(samples)
    assert len(together) == 7
    found = [together[epoch, index] for epoch in range(3) for index in range(7)]
    assert set(found[0]) == {"few:image", "many:input", "many:target"}
    assert Counter(index for _, index in samples["few"].asked) == {0: 7, 1: 7, 2: 7}
    assert len(set(samples["few"].asked)) == 21  # in new views
    assert samples["many"].asked == [(epoch, index) for epoch in range(3) for index in range(7)]


def test_validation_samples_are_of_one_task_each() -> None:
    samples = {
        name: EvaluationSamples(Scenes(count=count, size=32), VIEW, task, whole=False)
        for name, (task, count) in TASKS.items()
    }
    together = EvaluationTogether(samples)
    assert len(together) == 10
    found = [together[index] for index in range(10)]
    assert [next(iter(sample)).partition(":")[0] for sample in found] == ["few"] * 3 + ["many"] * 7
    assert (found[4]["many:target"] == samples["many"][1]["target"]).all()
    with pytest.raises(IndexError):
        together[10]
