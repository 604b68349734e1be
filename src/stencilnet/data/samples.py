"""Examples as samples of a task: map-style data sets for torch's loader."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stencilnet.data import folders
from stencilnet.data.diskcache import DiskCache
from stencilnet.data.transforms import View, evaluation_view, resized, training_view
from stencilnet.kinds.catalog import kinds, traits_of
from stencilnet.tasks.task import Example, Task

CACHE_BYTES = 256 * 2**20
"""Default limit of each `Cache` in bytes; 256 MiB hold about 430 labelled examples of 481x321 pixels."""
_SEED_LIMIT = 2**64


class ExampleSource(Protocol):
    """Examples by index."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def __getitem__(self, index: int, /) -> Example:
        """Return an example."""
        ...


class Cache:
    """Keeps examples in memory once they are read, so that files are decoded only once.

    Examples are kept until the limit is reached, and none is evicted: with random order, eviction would gain nothing.
    Each loader worker fills its own cache. Returned examples are shared: do not change them in place.

    Args:
        source: The examples.
        limit: Largest number of bytes of pixels to keep; 0 keeps nothing.

    Raises:
        ValueError: If `limit` is negative.
    """

    def __init__(self, source: "ExampleSource", limit: int = CACHE_BYTES) -> None:
        if limit < 0:
            raise ValueError(f"Expected argument `limit` to be a number of bytes, but got {limit}. 0 keeps nothing.")
        self.source = source
        self.limit = limit
        self._kept: dict[int, Example] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        if index in self._kept:
            return self._kept[index]
        example = self.source[index]
        size = bytes_of(example)
        if self._bytes + size <= self.limit:
            self._kept[index] = example
            self._bytes += size
        return example

    def __reduce__(self) -> tuple[Callable[..., "Cache"], tuple[ExampleSource, int]]:
        """Pickle without the kept examples, so that loader workers do not copy them."""
        return Cache, (self.source, self.limit)


class _Resized:
    """Examples resized to `View.resize`, so that a cache holds smaller pictures and resizes each once."""

    def __init__(self, source: Sequence[Example], view: View) -> None:
        self._source = source
        self._view = view

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        return resized(self._source[index], self._view)


def _stored(source: Sequence[Example], view: View, disk: Path | None) -> ExampleSource:
    if disk is not None and isinstance(source, folders.Examples) and source.origin is not None:
        return DiskCache(source, view, disk)
    return _Resized(source, view)


class TrainingSamples(Dataset[dict[str, Tensor]]):
    """Random views of examples, as compact samples of a task; keys are (epoch, index).

    The random draws are a pure function of (seed, epoch, index), independent of the number of workers, the order of
    access, and the state of any global generator.

    Args:
        source: The examples.
        view: How they are resized, cropped, flipped and damaged.
        task: Converts examples to samples.
        seed: Seed of the random draws, from 0 to 2^64 - 1.
        cache: Largest number of bytes of decoded examples to keep in each process; 0 keeps nothing.
        disk: Folder of a `DiskCache` for examples made from files; None, the default, for no such cache.

    Raises:
        ValueError: If `source` is empty, `seed` is out of range, or the task does not allow the view.
    """

    def __init__(
        self,
        source: Sequence[Example],
        view: View,
        task: Task,
        seed: int,
        *,
        cache: int = CACHE_BYTES,
        disk: Path | None = None,
    ) -> None:
        _check_source(source)
        check_view(view, task)
        if not 0 <= seed < _SEED_LIMIT:
            raise ValueError(f"Expected argument `seed` to lie in 0 ... 2^64 - 1, but got {seed}.")
        self.examples = Cache(_stored(source, view, disk), cache)
        self.view = view
        self.task = task
        self.seed = seed

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        generator = torch.Generator().manual_seed(sample_seed(self.seed, epoch, index))
        return self.task.sample(training_view(self.examples[index], self.view, generator))


class EvaluationSamples(Dataset[dict[str, Tensor]]):
    """Fixed views of examples, as compact samples of a task; keys are indices.

    Args:
        source: The examples.
        view: How they are resized, cropped and damaged.
        task: Converts examples to samples.
        whole: Whether images are kept whole (their sizes may differ: load them one by one) or cropped to one size.
        cache: Largest number of bytes of decoded examples to keep in each process; 0 keeps nothing.
        disk: Folder of a `DiskCache` for examples made from files; None, the default, for no such cache.

    Raises:
        ValueError: If `source` is empty.
    """

    def __init__(
        self,
        source: Sequence[Example],
        view: View,
        task: Task,
        whole: bool,
        *,
        cache: int = CACHE_BYTES,
        disk: Path | None = None,
    ) -> None:
        _check_source(source)
        self.examples = Cache(_stored(source, view, disk), cache)
        self.view = view
        self.task = task
        self.whole = whole

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.task.sample(evaluation_view(self.examples[index], self.view, self.whole))


def check_view(view: View, task: Task) -> None:
    """Check that a task allows a view.

    Raises:
        ValueError: If the view damages or mirrors images, and the task kind does not allow it.
    """
    traits = traits_of(task.kind)
    if view.damage is not None and not traits.damage:
        allowed = " or ".join(name for name, kind in kinds().items() if kind.traits.damage)
        raise ValueError(f"Expected `view.damage` with a task of kind {allowed}, but got it with {task.kind}.")
    if view.flip and traits.mirror:
        raise ValueError(f"Expected `view.flip: false` with a task of kind {task.kind}: {traits.mirror}.")


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return the 64-bit seed of one draw, the same on every machine; seeds of neighbouring keys are unrelated.

    Args:
        seed: The run's seed, from 0 to 2^64 - 1.
        epoch: Number of the pass over the data, from 0.
        index: Index of the example, from 0.
    """
    key = b"".join(number.to_bytes(8, "little") for number in (seed, epoch, index))
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little")


def bytes_of(example: Example) -> int:
    """Return the bytes of an example's pixels."""
    return sum(part.nbytes for part in (example.image, example.label, example.target) if part is not None)


def _check_source(source: Sequence[Example]) -> None:
    if len(source) == 0:
        raise ValueError("Expected argument `source` to hold at least one example, but got none. Check its settings.")
