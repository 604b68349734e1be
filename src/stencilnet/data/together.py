"""Samples of several tasks as one data set."""

from collections.abc import Mapping
from itertools import accumulate

from torch import Tensor
from torch.utils.data import Dataset

from stencilnet.data.samples import EvaluationSamples, TrainingSamples
from stencilnet.tasks.together import joined


class TrainingTogether(Dataset[dict[str, Tensor]]):
    """Samples with an example of every task; keys are (epoch, index).

    An epoch covers the examples of the task with the most examples once. Those of the other tasks
    repeat within it in new views; their numbers of repeats differ by at most one.

    Args:
        samples: Training samples of each task, by name.
    """

    def __init__(self, samples: Mapping[str, TrainingSamples]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return max(len(own) for own in self.samples.values())

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        place = epoch * len(self) + index
        return joined({name: own[divmod(place, len(own))] for name, own in self.samples.items()})


class EvaluationTogether(Dataset[dict[str, Tensor]]):
    """The examples of all tasks, one task after the other; each sample belongs to one task. Keys are indices.

    Args:
        samples: Evaluation samples of each task, by name.
    """

    def __init__(self, samples: Mapping[str, EvaluationSamples]) -> None:
        self.samples = samples
        self._ends = list(accumulate(len(own) for own in samples.values()))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        for (name, own), end in zip(self.samples.items(), self._ends, strict=True):
            if index < end:
                return joined({name: own[index - end + len(own)]})
        raise IndexError(index)
