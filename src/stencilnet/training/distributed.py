"""Several processes, one device each, that train together in lockstep.

Process 0 leads: it runs the whole program and alone decides when a training begins, continues and ends. The others
follow. These decisions use a gloo group of their own, so they never mix with the communication of gradients.
"""

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import ProcessGroup, Store
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(days=7)
"""Timeout of collectives. Followers wait while process 0 validates, tests and reads data; a dead process is noticed
without a timeout."""

MEETING = timedelta(minutes=10)
"""Timeout of the start, where a missing process is not noticed otherwise."""

_ENDED, _FAILED, _HERE = "stencilnet/ended", "stencilnet/failed", "stencilnet/here"
_GO, _LEAVE = 0, 1
_GONE = (
    "closed by peer",
    "reset by peer",
    "Connection refused",
    "Broken pipe",
    "Timed out waiting",
    "timeout caused pair closure",
    "connectFullMesh failed",
)
"""Texts of gloo's errors if a process is gone; unlike NCCL's and the store's errors, they have no class of their
own."""


class PeerError(ValueError):
    """Another process of the group has failed, is gone or never started."""


@dataclass(kw_only=True, eq=False)
class Group:
    """The processes that train together; by default only this one, which communicates with no other.

    Attributes:
        rank: Number of this process; 0 leads.
        size: Number of processes, equal to the number of devices.
        local_size: Number of processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    _store: Store | None = None
    _control: ProcessGroup | None = None
    _within: bool = field(init=False, default=False)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module whose backward passes average gradients over the group."""
        if self.size == 1:
            return module
        # Each process has its own running statistics, and process 0's are kept; otherwise every step would send them.
        buffers = [name for name, _ in module.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, buffers)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(module, init_sync=False)  # all have the same tensors already

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    @contextmanager
    def lockstep(self) -> Iterator[None]:
        """Enclose a step. After an exception in it, the others are in the middle of theirs and cannot be reached.

        Raises:
            PeerError: If the step failed because another process failed or is gone.
        """
        if self.size == 1:
            yield
            return
        self._within = True
        try:
            yield
        except RuntimeError as error:
            if self._failed() or _tells_of_loss(error):
                raise self._lost() from error
            raise
        self._within = False

    def go(self) -> bool:
        """Wait for all processes, before every step and once after the last; false if process 0 leaves the training."""
        return self._agree(_GO) == _GO

    @contextmanager
    def led(self, start: bytes) -> Iterator[None]:
        """Start a training on the followers, and release them at its end, even after an exception."""
        if self.size == 1:
            yield
            return
        self._shared(start)
        try:
            yield
        finally:
            if not self._within:
                self._agree(_LEAVE)

    def receive(self) -> bytes | None:
        """Return the next training that process 0 starts; None when process 0 ends."""
        return self._shared(None)

    def end(self) -> None:
        """Leave the group. Each process calls this when it is done, process 0 also after a failure."""
        assert self._store is not None, "a single process has no group to leave"
        if self.rank == 0:
            self._store.set(_ENDED, "")
            if self._within:
                return
            self._shared(None)
        dist.destroy_process_group()

    def fail(self) -> None:
        """Record that this process fails and reports the error itself, for the processes that then miss it."""
        assert self._store is not None, "a single process has no group to notify"
        self._store.set(_FAILED, str(self.rank))

    @property
    def is_broken(self) -> bool:
        """Whether the others cannot be reached: within a step, and permanently after a failure in one."""
        return self._within

    @property
    def has_ended(self) -> bool:
        """Whether process 0 has ended, so that failures here need no report."""
        assert self._store is not None, "a single process has no process 0 to watch"
        try:
            return bool(self._store.check([_ENDED]))
        except RuntimeError:  # the store itself ended with process 0 or its launcher
            return True

    def _shared(self, message: bytes | None) -> bytes | None:
        """Return process 0's message."""
        messages = [message]
        with self._spoken():
            dist.broadcast_object_list(messages, group=self._control, device=torch.device("cpu"))
        return messages[0]

    def _agree(self, word: int) -> int:
        if self.size == 1:
            return word
        said = torch.tensor([word])
        with self._spoken():
            dist.all_reduce(said, op=dist.ReduceOp.MAX, group=self._control)
        return int(said)

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # gloo raises this if a process is gone
            self._within = True
            raise self._lost() from error

    def _failed(self) -> bool:
        try:
            return self._store is not None and bool(self._store.check([_FAILED]))
        except RuntimeError:  # the store itself is gone with process 0 or its launcher
            return False

    def _lost(self) -> PeerError:
        if self._failed():
            assert self._store is not None, "only a store can record a failure"
            rank = self._store.get(_FAILED).decode()
            reason = f"process {rank} (of {self.size}, from 0) failed; its own output says why"
        else:
            reason = f"a process (of {self.size}) is gone: killed, or out of memory"
        return PeerError(f"stopped, since {reason}. Checkpoints are kept; pass `--resume` to continue from them.")


ALONE = Group()
"""The group of a single process."""


def join(store: Store, *, rank: int, size: int, local_size: int) -> Group:
    """Join the other processes; gradients use NCCL between CUDA devices and gloo between CPUs.

    Args:
        store: The store through which they find each other.
        rank: Number of this process.
        size: Number of processes.
        local_size: Number of processes on this machine.

    Raises:
        PeerError: If they do not all arrive within `MEETING`.
    """
    _meet(store, rank, size)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    control = dist.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(control, ProcessGroup), "every process is in it"
    return Group(rank=rank, size=size, local_size=local_size, _store=store, _control=control)


def _meet(store: Store, rank: int, size: int) -> None:
    """Wait for all processes at the store; everything after this has the timeout of the collectives."""
    places = {other: f"{_HERE}/{other}" for other in range(size)}
    store.set(places[rank], "")
    try:
        store.wait(list(places.values()), MEETING)
    except dist.DistStoreError as error:
        missing = [str(other) for other, place in places.items() if not store.check([place])]
        raise PeerError(
            f"expected {size} processes to meet within {MEETING}, but missed {', '.join(missing)} (counted from 0). "
            "Start all of them with the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE, and check the output of the "
            "missing ones."
        ) from error
    except dist.DistNetworkError as error:
        raise PeerError(
            f"expected {size} processes to meet, but the one that hosts the store is gone. Start all of them again."
        ) from error
    store.set_timeout(PATIENCE)


def _tells_of_loss(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(words in str(error) for words in _GONE)


def packed(value: object) -> bytes:
    """Serialize a value for the other processes of the same program.

    Raises:
        TypeError: If it cannot be pickled; the message gives the reason.
    """
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"Expected backbone, task and data to be picklable, so that other processes can train with them, but: "
            f"{error}. Define their classes and functions at the top level of a module, or train on one device."
        ) from error
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """Undo `packed`; all tensors are on the CPU."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)


def check_division(name: str, batch: int, *, devices: int, accumulate: int) -> None:
    """Refuse a batch that cannot be split into equal parts.

    Args:
        name: Name of the training, for the message.
        batch: Examples per step.
        devices: Number of processes.
        accumulate: Parts that each process runs one after the other.

    Raises:
        ValueError: If the parts would not be equal.
    """
    if batch % (devices * accumulate):
        raise ValueError(
            f"{name}: expected the recipe's `batch` to be divisible by devices x `accumulate` = {devices} x "
            f"{accumulate}, but got {batch}. Change the batch (which changes the result) or one of the two (which "
            "does not)."
        )
