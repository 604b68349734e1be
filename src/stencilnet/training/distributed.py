"""Several processes, a device each, that train together in lockstep.

Process 0 leads: it runs the whole program and decides alone when a training begins, goes on and ends. The others
follow. What is decided travels by gloo in a group of its own, so that it can never meet the gradients' traffic.
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
"""Followers wait while process 0 validates, tests and reads data; one that died is noticed without a timeout."""

MEETING = timedelta(minutes=10)
"""Processes wait that long for each other at the start, where one that does not come is not noticed otherwise."""

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
"""What gloo's errors say if a process is gone; they have no class of their own, as NCCL's and the store's have."""


class PeerError(ValueError):
    """Another process of the group has failed, is gone, or never came."""


@dataclass(kw_only=True, eq=False)
class Group:
    """The processes that train together; by default there is this one alone, and nothing is ever sent.

    Attributes:
        rank: Number of this process; 0 leads.
        size: Number of processes, which is that of devices.
        local_size: How many of them are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    _store: Store | None = None
    _control: ProcessGroup | None = None
    _within: bool = field(init=False, default=False)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are averaged over the group by each backward pass."""
        if self.size == 1:
            return module
        # Running statistics are each process's own, and process 0's are kept; they would be sent at every step.
        buffers = [name for name, _ in module.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, buffers)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(module, init_sync=False)  # all have the same tensors already

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of every process's tensor."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    @contextmanager
    def lockstep(self) -> Iterator[None]:
        """Hold a step; after an exception in it the others are somewhere within theirs and cannot be spoken to.

        Raises:
            PeerError: If the step failed since another process failed or is gone.
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
        """Before every step, and once after the last: wait for all; false if process 0 leaves the training."""
        return self._agree(_GO) == _GO

    @contextmanager
    def led(self, start: bytes) -> Iterator[None]:
        """Call the followers into a training, and at its end, however it comes, let them go again."""
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
        """Return the next training that process 0 calls for; None when it ends."""
        return self._shared(None)

    def end(self) -> None:
        """Part; said by each process when it has nothing more to do, by process 0 also when it has failed."""
        assert self._store is not None, "alone there is nobody to part from"
        if self.rank == 0:
            self._store.set(_ENDED, "")
            if self._within:
                return
            self._shared(None)
        dist.destroy_process_group()

    def fail(self) -> None:
        """Note that this process fails with a message of its own, for those who then miss it."""
        assert self._store is not None, "alone there is nobody to tell"
        self._store.set(_FAILED, str(self.rank))

    @property
    def is_broken(self) -> bool:
        """Whether the others cannot be spoken to: within a step, and for good after a failure in it."""
        return self._within

    @property
    def has_ended(self) -> bool:
        """Whether process 0 has ended, so that what fails here now is no news."""
        assert self._store is not None, "alone there is nobody to ask"
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
        except RuntimeError as error:  # what gloo raises if a process is gone
            self._within = True
            raise self._lost() from error

    def _failed(self) -> bool:
        try:
            return self._store is not None and bool(self._store.check([_FAILED]))
        except RuntimeError:  # the store itself is gone with process 0 or its launcher
            return False

    def _lost(self) -> PeerError:
        if self._failed():
            assert self._store is not None, "it says so"
            rank = self._store.get(_FAILED).decode()
            reason = f"process {rank} (of {self.size}, from 0) failed; it has said why"
        else:
            reason = f"a process (of {self.size}) is gone: killed, or out of memory"
        return PeerError(f"stopped, since {reason}. What was saved before is kept; `--resume` goes on from it.")


ALONE = Group()
"""This process and no other."""


def join(store: Store, *, rank: int, size: int, local_size: int) -> Group:
    """Meet the other processes; gradients go by NCCL between CUDA devices and by gloo between CPUs.

    Args:
        store: Where they find each other.
        rank: Number of this process.
        size: Number of processes.
        local_size: How many of them are on this machine.

    Raises:
        PeerError: If they do not all come within `MEETING`.
    """
    _meet(store, rank, size)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    control = dist.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(control, ProcessGroup), "every process is in it"
    return Group(rank=rank, size=size, local_size=local_size, _store=store, _control=control)


def _meet(store: Store, rank: int, size: int) -> None:
    """Wait for all at the store: what comes after it has the collectives' patience."""
    places = {other: f"{_HERE}/{other}" for other in range(size)}
    store.set(places[rank], "")
    try:
        store.wait(list(places.values()), MEETING)
    except dist.DistStoreError as error:
        missing = [str(other) for other, place in places.items() if not store.check([place])]
        raise PeerError(
            f"expected {size} processes to meet within {MEETING}, but missed {', '.join(missing)} (counted from 0). "
            "Start all of them, with the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE, and look at what the missing "
            "ones say."
        ) from error
    except dist.DistNetworkError as error:
        raise PeerError(
            f"expected {size} processes to meet, but the one where they meet is gone. Start all of them again."
        ) from error
    store.set_timeout(PATIENCE)


def _tells_of_loss(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(words in str(error) for words in _GONE)


def packed(value: object) -> bytes:
    """Turn a value into bytes for the processes of one program.

    Raises:
        TypeError: If it cannot be pickled, with the reason.
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
    """Refuse a batch that cannot be cut into equal parts.

    Args:
        name: Whose batch it is.
        batch: Examples a step.
        devices: Number of processes.
        accumulate: Parts that each of them takes one after the other.

    Raises:
        ValueError: If the parts would not be equal.
    """
    if batch % (devices * accumulate):
        raise ValueError(
            f"{name}: expected the recipe's `batch` to be divisible by devices x `accumulate` = {devices} x "
            f"{accumulate}, but got {batch}. Change the batch (which changes the result) or one of the two (which "
            "does not)."
        )
