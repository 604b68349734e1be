"""Measures the cost of a training step by running a few: seconds, and bytes on the device. No result is kept."""

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from stencilnet.masks import Trainable
from stencilnet.methods import Penalty
from stencilnet.tasks.task import Sample
from stencilnet.training.job import Job
from stencilnet.training.sampling import Order
from stencilnet.training.seeds import CRITIC, STEP, derived_seed, forked
from stencilnet.training.settings import Resolved
from stencilnet.training.step import Learner, forward, make_learner, train_step


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """The cost of one step.

    Attributes:
        seconds: Median seconds of a step on a whole batch that is already on the device.
        images_per_second: Batch size divided by `seconds`.
        peak_bytes: Peak memory on the device, in bytes.
        peak_measured: Whether `peak_bytes` is the allocator's own count (CUDA). Otherwise it is an estimate: weights,
            real masks, gradients and Adam's two moments, the same for the critic, the batch, and every tensor that the
            step keeps for its backward pass, but not the scratch memory of convolutions.
        steps: Number of measured steps, after the warm-up.
        images: Images per measured step: the batch, or fewer if a step is slow; the cost is then extrapolated.
        loading: Seconds that one process takes to read and augment an image that is not in memory.
        augmenting: The same for an image in memory.
        scoring: Seconds to run and score one image, without reading it.
    """

    seconds: float
    images_per_second: float
    peak_bytes: int
    peak_measured: bool
    steps: int
    images: int
    loading: float
    augmenting: float
    scoring: float


def time_steps(
    backbone: nn.Module,
    trainable: Trainable,
    job: Job,
    resolved: Resolved,
    *,
    penalty: Penalty | None = None,
    steps: int = 3,
    warmup: int = 1,
    patience: float = 2.0,
    clock: Callable[[], float] = time.perf_counter,
) -> StepCost:
    """Run a few real steps of a training, with its first batch, losses, critic and optimisers.

    Neither the arguments nor the state of PyTorch's generators are changed. No file is written, except by a disk cache
    of the job's examples. A step that would take longer than `patience` is measured on two images of its batch.

    Args:
        backbone: The network that gives the graph.
        trainable: What to train; a copy is used.
        job: The training; its folder is not used.
        resolved: Device and precision.
        penalty: The method's term of the loss, of which a copy is used; None (the default) for none.
        steps: Number of steps to measure; fewer once `patience` has passed. Default: 3.
        warmup: Number of steps before these, whose one-time costs do not count. Default: 1.
        patience: Time limit in seconds. Default: 2.
        clock: Returns the time in seconds. Default: `time.perf_counter`.

    Raises:
        ValueError: If `steps` or `warmup` is less than 1, or the examples do not fit the task.
    """
    if steps < 1 or warmup < 1:
        raise ValueError(f"Expected `steps` and `warmup` to be at least 1, but got {steps} and {warmup}.")
    device = resolved.device
    (batch, loading), (_, augmenting) = load_batch(job, clock), load_batch(job, clock)
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    learner = learner_for(backbone, trainable, job, resolved, penalty)
    bench = _Bench(learner=learner, seed=job.seed, size=job.recipe.batch, clock=clock)
    found = bench.short(batch, steps, patience) or bench.whole(batch, steps, warmup, patience)
    return StepCost(
        seconds=found.seconds,
        images_per_second=bench.size / found.seconds,
        peak_bytes=found.peak,
        peak_measured=found.measured,
        steps=found.steps,
        images=found.images,
        loading=loading,
        augmenting=augmenting,
        scoring=bench.scoring(_first(batch, found.images)),
    )


def load_batch(job: Job, clock: Callable[[], float] = time.perf_counter) -> tuple[dict[str, Tensor], float]:
    """Return the first batch of a training, as its loader does, on the CPU, and the median seconds per image."""
    recipe = job.recipe
    order = Order(seed=derived_seed(job.seed, 0), size=len(job.train), batch=recipe.batch, steps=recipe.steps)
    samples, times = [], []
    for key in order.keys(0):
        started = clock()
        samples.append(job.train[key])
        times.append(clock() - started)  # the first includes imports: hence the median
    batch: dict[str, Tensor] = default_collate(samples)
    return batch, median(times)


@dataclass(frozen=True, kw_only=True)
class _Found:
    seconds: float
    peak: int
    measured: bool
    steps: int
    images: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Bench:
    learner: Learner
    seed: int
    size: int
    clock: Callable[[], float]

    def short(self, batch: Sample, steps: int, patience: float) -> _Found | None:
        """Measure on one image and on two; return None if a whole batch takes no longer than `patience`."""
        if self.size < 3:
            return None
        settings = self.learner.resolved.settings
        undivided = replace(self.learner.resolved, settings=replace(settings, accumulate=1))
        probe = replace(self, learner=replace(self.learner, resolved=undivided))
        seconds, one = probe._kept(_first(batch, 1))
        if seconds * self.size <= patience:
            return None
        _, two = probe._kept(_first(batch, 2))  # one-time costs of this size: graphs, kernels, memory
        times = probe._times(_first(batch, 2), steps, patience)
        seconds = median(times) / 2 * self.size
        if seconds <= patience:
            return None
        kept = one + (two - one) * (self.size // settings.accumulate - 1)
        return _Found(seconds=seconds, peak=self._standing(batch) + kept, measured=False, steps=len(times), images=2)

    def whole(self, batch: Sample, steps: int, warmup: int, patience: float) -> _Found:
        _, kept = self._kept(batch)
        for _ in range(warmup - 1):
            self._step(batch)
        device = self.learner.resolved.device
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        times = self._times(batch, steps, patience)
        measured = device == "cuda"
        peak = torch.cuda.max_memory_allocated() if measured else self._standing(batch) + kept
        return _Found(seconds=median(times), peak=peak, measured=measured, steps=len(times), images=self.size)

    @torch.no_grad()
    def scoring(self, batch: Sample) -> float:
        """Return the seconds to run and score one image."""
        learner = self.learner
        learner.backbone.eval()
        weights, scores = learner.trainable.weights(), learner.task.scores()

        def score() -> None:
            prepared = learner.task.prepare(batch)
            scores.update(forward(learner, weights, prepared["input"]), prepared)

        return min(self._seconds(score) for _ in range(2)) / len(learner.task.prepare(batch)["input"])

    def _times(self, batch: Sample, steps: int, patience: float) -> list[float]:
        """Return the seconds of steps: as many, or fewer once `patience` has passed, but at least one."""
        times: list[float] = []
        while not times or (len(times) < steps and sum(times) < patience):
            times.append(self._step(batch))
        return times

    def _step(self, batch: Sample) -> float:
        def step() -> None:
            with forked(self.learner.resolved.device, self.seed, STEP, 0):
                train_step(self.learner, batch, 0)

        return self._seconds(step)

    def _seconds(self, work: Callable[[], None]) -> float:
        """Return the seconds of work on the device."""
        device = self.learner.resolved.device
        _wait(device)
        started = self.clock()
        work()
        _wait(device)
        return self.clock() - started

    def _kept(self, batch: Sample) -> tuple[float, int]:
        """Take a step; return its seconds, and the peak bytes that it keeps for a backward pass, without parameters."""
        own = {tensor.untyped_storage().data_ptr() for tensor in (*self._tensors(), *batch.values())}
        count = _Count(own=own)
        with torch.autograd.graph.saved_tensors_hooks(count.pack, attrgetter("tensor")):
            seconds = self._step(batch)
        return seconds, count.most

    def _tensors(self) -> list[Tensor]:
        learner = self.learner
        modules: list[nn.Module] = [learner.trainable, *([] if learner.critic is None else [learner.critic.module])]
        modules += [] if learner.regularizer is None else [learner.regularizer.penalty]
        return [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]

    def _standing(self, batch: Sample) -> int:
        """Return the bytes that persist between steps: all tensors, gradients, both moments of Adam, the batch."""
        learner = self.learner
        optimizers = [learner.optimizer, *([] if learner.critic is None else [learner.critic.optimizer])]
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        trained: list[Tensor] = [parameter for group in groups for parameter in group["params"]]
        return _bytes(self._tensors()) + 3 * _bytes(trained) + _bytes(batch.values())


@dataclass(kw_only=True, eq=False)
class _Count:
    """Counts the storages that autograd keeps, each once, since several saved tensors may be views of one storage."""

    own: set[int]
    users: Counter[int] = field(default_factory=Counter)
    now: int = 0
    most: int = 0

    def pack(self, tensor: Tensor) -> "_Kept":
        return _Kept(tensor, self)

    def add(self, storage: torch.UntypedStorage) -> None:
        place = storage.data_ptr()
        if place not in self.own and not self.users[place]:
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
        self.users[place] += 1

    def drop(self, storage: torch.UntypedStorage) -> None:
        place = storage.data_ptr()
        self.users[place] -= 1
        if place not in self.own and not self.users[place]:
            self.now -= storage.nbytes()


class _Kept:
    """A tensor saved by autograd; it is deleted when its graph node is done."""

    def __init__(self, tensor: Tensor, count: _Count) -> None:
        self.tensor = tensor
        self._count = count
        count.add(tensor.untyped_storage())

    def __del__(self) -> None:
        self._count.drop(self.tensor.untyped_storage())


def learner_for(
    backbone: nn.Module, trainable: Trainable, job: Job, resolved: Resolved, penalty: Penalty | None = None
) -> Learner:
    """Return a training's learner, ready for its first step, made from copies of the arguments."""
    with forked("cpu", job.seed, CRITIC, 0):
        critic = job.task.critic()
    learner = make_learner(
        backbone,
        copy.deepcopy(trainable),
        critic,
        task=job.task,
        recipe=job.recipe,
        mask_lr=job.mask_lr,
        resolved=resolved,
        penalty=copy.deepcopy(penalty),
    )
    learner.backbone.train()
    return learner


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _first(batch: Sample, count: int) -> dict[str, Tensor]:
    return {name: tensor[:count] for name, tensor in batch.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
