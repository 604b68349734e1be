"""The order of examples: a pure function of the seed, so that training resumes bit-equal from any step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from stencilnet.tasks.task import Sample
from stencilnet.training.seeds import ORDER, derived_seed

PIXELS = 16 * 256 * 256
"""Maximum number of input pixels in a batch that is not trained on: 16 pictures of 256x256. Whole pictures have any
size, so their number does not bound the memory."""

Key = tuple[int, int]
"""Epoch and index of a training example; its augmentation is a function of both."""


class TrainingData(Protocol):
    """Training examples; their random augmentation is a pure function of the key (and of their own seed)."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, key: Key, /) -> Mapping[str, Tensor]:
        """Return the sample at (epoch, index)."""
        ...


class ValidationData(Protocol):
    """Validation examples, always the same."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, index: int, /) -> Mapping[str, Tensor]:
        """Return a sample."""
        ...


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, size: int) -> tuple[int, ...]:
    """Return an epoch's order of the indices below `size`."""
    generator = torch.Generator().manual_seed(derived_seed(seed, ORDER, epoch))
    return tuple(torch.randperm(size, generator=generator).tolist())


@dataclass(frozen=True, kw_only=True)
class Order:
    """A batch sampler: an endless stream of permutations, split into batches.

    A batch may span two epochs, or more if the data are smaller than a batch. So every example is seen equally often,
    and none is dropped.

    Attributes:
        seed: Seed of the permutations.
        size: Number of examples.
        batch: Examples per step.
        steps: Steps of the whole training.
        first: Step to start from, equal to the number of steps done. Default: 0.
        rank: Which of `ranks` equal, consecutive shares of every batch to yield. Default: 0.
        ranks: Number of processes that share a batch; it must divide the batch. Default: 1.
    """

    seed: int
    size: int
    batch: int
    steps: int
    first: int = 0
    rank: int = 0
    ranks: int = 1

    def keys(self, step: int) -> list[Key]:
        """Return the keys of all examples of a step; steps count from 0."""
        places = (divmod(place, self.size) for place in range(step * self.batch, (step + 1) * self.batch))
        return [(epoch, permutation(self.seed, epoch, self.size)[offset]) for epoch, offset in places]

    def __iter__(self) -> Iterator[list[Key]]:
        share = self.batch // self.ranks
        mine = slice(self.rank * share, (self.rank + 1) * share)
        return (self.keys(step)[mine] for step in range(self.first, self.steps))

    def __len__(self) -> int:
        return self.steps - self.first


@dataclass(frozen=True)
class _Failure:
    """An error of a loader process: torch would raise it again with its traceback in the message."""

    kind: type[Exception]
    message: str

    def error(self) -> Exception:
        try:
            return self.kind(self.message)
        except TypeError:  # its arguments are others
            return ValueError(self.message)


class _Examples(Dataset[Any]):
    """What a loader process reads: examples, or the failures to read them."""

    def __init__(self, source: TrainingData | ValidationData) -> None:
        self._source: Any = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._source[key]
        except (ValueError, OSError) as error:  # anything else is a bug, of which torch shows the traceback
            return _Failure(type(error), str(error))


def _collated(samples: list[Any]) -> Any:
    return next((sample for sample in samples if isinstance(sample, _Failure)), None) or default_collate(samples)


class Loader:
    """Loads samples or batches with torch's loader; an example that cannot be read raises its own error."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for found in self._loader:
            if isinstance(found, _Failure):
                raise found.error()
            yield found


def training_loader(data: TrainingData, order: Order, *, workers: int, device: str) -> Loader:
    """Return a loader of the order's batches ``{name: (N, ...)}``, on the CPU."""
    # With a generator of its own: otherwise the loader draws its workers' base seed from the global one.
    return Loader(
        DataLoader(
            _Examples(data) if workers else cast("Dataset[Any]", data),
            batch_sampler=order,
            num_workers=workers,
            collate_fn=_collated,
            pin_memory=device == "cuda",
            generator=torch.Generator(),
        )
    )


def validation_loader(data: ValidationData, *, workers: int) -> Loader:
    """Return a loader of single samples in order; its workers persist between evaluations."""
    return Loader(
        DataLoader(
            _Examples(data) if workers else cast("Dataset[Any]", data),
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            generator=torch.Generator(),
        )
    )


def batched(samples: Iterator[Sample], limit: int, pixels: int | None = None) -> Iterator[dict[str, Tensor]]:
    """Stack consecutive samples of equal shapes into batches, since whole pictures differ in size.

    Args:
        samples: Unbatched samples, whose pictures are tensors ``(..., H, W)``.
        limit: Maximum number of samples per batch.
        pixels: Maximum number of pixels per batch, unless a single sample has more; None (the default) for no bound.
    """
    group: list[Sample] = []
    for sample in samples:
        if group and (len(group) >= _room(group[0], limit, pixels) or _shapes(group[0]) != _shapes(sample)):
            yield _stacked(group)
            group = []
        group.append(sample)
    if group:
        yield _stacked(group)


def _room(sample: Sample, limit: int, pixels: int | None) -> int:
    """Return how many samples of this size fit into a batch."""
    areas = [tensor.shape[-2] * tensor.shape[-1] for tensor in sample.values() if tensor.dim() > 1]
    return limit if pixels is None or not areas else max(1, min(limit, pixels // max(areas)))


def _shapes(sample: Sample) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in sample.items()}


def _stacked(group: list[Sample]) -> dict[str, Tensor]:
    return {name: torch.stack([sample[name] for sample in group]) for name in group[0]}
