"""Measures a predictor on a split; trained networks and trivial baselines are measured by the same function."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from stencilnet.tasks.task import Predictor, Sample, Task
from stencilnet.training.sampling import PIXELS, batched, validation_loader

OnBatch = Callable[[int, int], None]
"""Called after every batch with the number of samples done and the total number."""


class Samples(Protocol):
    """A split: a map-style dataset or a list of unbatched, compact samples ``{name: (..., H, W)}``."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Return one sample."""
        ...


def evaluate(
    predict: Predictor,
    task: Task,
    samples: Samples,
    *,
    batch: int = 1,
    pixels: int = PIXELS,
    device: torch.device | str = "cpu",
    workers: int = 0,
    on_batch: OnBatch | None = None,
) -> dict[str, float]:
    """Measure a predictor on a whole split.

    To measure a trivial baseline, pass ``task.baseline(prepared_training_samples)`` as `predict`.

    Args:
        predict: Function from a prepared batch to raw outputs ``(N, C, H, W)``.
        task: The task whose metrics are computed.
        samples: The split, read in order. Images may differ in size: only consecutive ones of equal size share a batch.
        batch: Maximum number of samples per forward pass. Default: 1. Batches do not change what is measured.
        pixels: Maximum number of pixels per forward pass, unless a single sample has more; this bounds the memory of
            large pictures. Default: `PIXELS`.
        device: Device that samples are moved to; the predictor must be there already. Default: the CPU.
        workers: Processes that load samples; 0 (the default) loads in this process.
        on_batch: Progress callback; none by default.

    Returns:
        Every metric of `task`, by name.

    Raises:
        ValueError: If there are no samples, `batch` or `pixels` is not positive, or outputs are not
            ``(N, task.channels, ...)``.
    """
    for name, value in (("batch", batch), ("pixels", pixels)):
        if value < 1:
            raise ValueError(f"Expected argument `{name}` to be at least 1, but got {value}.")
    total = len(samples)
    if total == 0:
        raise ValueError(
            f"Expected at least one sample to evaluate the {task.kind} task on, but the split is empty. "
            "Check the folder and the held-out share."
        )
    scores, done = task.scores(), 0
    # Not inference_mode: a later training may backpropagate through what a task builds here (a perceptual network).
    with torch.no_grad():
        for stacked in batched(iter(validation_loader(samples, workers=workers)), batch, pixels):
            sample = task.prepare({name: tensor.to(device) for name, tensor in stacked.items()})
            output = predict(sample)
            count = len(sample["input"])
            _check(output, count, task)
            scores.update(output, sample)
            done += count
            if on_batch is not None:
                on_batch(done, total)
        return scores.compute()


def _check(output: Tensor, count: int, task: Task) -> None:
    if output.dim() < 2 or output.shape[:2] != (count, task.channels):
        raise ValueError(
            f"Expected the {task.kind} task's outputs to be ({count}, {task.channels}, ...) for a batch of {count}, "
            f"but got {tuple(output.shape)}. Check that the network belongs to this task."
        )
