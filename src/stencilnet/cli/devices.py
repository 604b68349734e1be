"""One command on several devices: relaunches itself under torch's elastic launcher, with one process per device.

Process 0 does the work as it would alone; the others follow it. `torchrun -m stencilnet ...` does the same by hand,
also over several machines.
"""

import atexit
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from stencilnet.cli.streams import say
from stencilnet.cores import cores

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

    from stencilnet.training.distributed import Group

GRACE = 120
"""Seconds that processes have to save and exit after a stop request."""

_LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class _Place:
    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str


def on_devices(count: int, work: Callable[["Group"], None]) -> None:
    """Run a function on several devices.

    Args:
        count: Number of devices on this machine; under torchrun, the number of processes that it started is used.
        work: The function that process 0 runs.

    Raises:
        click.UsageError: If the launcher's environment variables are invalid.
        PeerError: If not all processes connect.
    """
    if _is_one_of_several():
        _take_place(work)
    elif count > 1:
        _relaunch(count)
    else:
        from stencilnet.training.distributed import ALONE

        work(ALONE)


def leave(code: int) -> NoReturn:
    """End this process, as `sys.exit` does.

    One of several processes runs its exit handlers, but does not finalize Python: threads of gloo may still release
    tensors then, and a thread that needs Python after its end aborts the process (pytorch/pytorch#38228).
    """
    if not _is_one_of_several():
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def _is_one_of_several() -> bool:
    return all(name in os.environ for name in _LAUNCHED) and os.environ["WORLD_SIZE"] != "1"


def _take_place(work: Callable[["Group"], None]) -> None:
    import torch

    from stencilnet.training.distributed import join

    place = _place()
    if place.local_rank < torch.cuda.device_count():  # if there are too few devices, process 0 reports it
        torch.cuda.set_device(place.local_rank)
    group = join(_store(place), rank=place.rank, size=place.size, local_size=place.local_size)
    try:
        if place.rank:
            _follow(group)
        else:
            _lead(group, work)
    except BaseException:
        # The launcher sends SIGTERM to the remaining processes, whose messages tell what happened.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise


def _place() -> _Place:
    """Read the launcher's environment variables.

    Raises:
        click.UsageError: If a variable is not a number in the valid range.
    """
    size = _number("WORLD_SIZE", 1, None)
    local_size = _number("LOCAL_WORLD_SIZE", 1, size)
    rank, local_rank = _number("RANK", 0, size - 1), _number("LOCAL_RANK", 0, local_size - 1)
    address = f"{os.environ['MASTER_ADDR']}:{_number('MASTER_PORT', 1, 65535)}"
    return _Place(rank=rank, size=size, local_rank=local_rank, local_size=local_size, address=address)


def _number(name: str, least: int, most: int | None) -> int:
    word = os.environ[name]
    if word.isascii() and word.isdigit() and least <= int(word) and (most is None or int(word) <= most):
        return int(word)
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise click.UsageError(
        f"Expected the environment variable {name} to be a whole number {wanted}, as torchrun sets it, but got "
        f"{word!r}. Start with torchrun, correct it, or unset {name} to train without other processes."
    )


def _store(place: _Place) -> "Store":
    from torch.distributed.rendezvous import rendezvous

    from stencilnet.training.distributed import MEETING, PeerError

    store: Store
    try:
        store, _, _ = next(rendezvous("env://", timeout=MEETING))
    except RuntimeError as error:  # nothing listens there, not all connected, or the port is taken
        reason = str(error).partition("\n")[0].rstrip(".")
        raise PeerError(
            f"expected {place.size} processes to meet at {place.address} (MASTER_ADDR:MASTER_PORT) within {MEETING}, "
            f"but process {place.rank} got: {reason}. Start all of them with the same address, one that every machine "
            "can reach, and a free port."
        ) from error
    return store


def _lead(group: "Group", work: Callable[["Group"], None]) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        if not group.is_broken:  # if it is, the reason is being reported
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        work(group)
    finally:
        group.end()


def _follow(group: "Group") -> None:
    from stencilnet.training.following import follow

    for number in (signal.SIGINT, signal.SIGTERM):  # process 0 decides when to stop
        signal.signal(number, _leave_it)
    logging.getLogger("stencilnet").addHandler(logging.NullHandler())  # process 0 reports everything
    try:
        follow(group)
    except Exception:
        if group.has_ended:
            raise click.exceptions.Exit(1) from None
        group.fail()
        raise
    group.end()


def _leave_it(_number: int, _frame: FrameType | None) -> None:
    pass


def _relaunch(count: int) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable()  # this process only launches; its children report
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    with tempfile.TemporaryDirectory() as logs, _one_signal(SignalException):
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            signals_to_handle="SIGHUP,SIGQUIT",
            shutdown_timeout=GRACE,
        )
        try:
            elastic_launch(config, sys.executable)("-m", "stencilnet", *sys.argv[1:])
        except ChildFailedError as error:
            codes = [failure.exitcode for _, failure in sorted(error.failures.items())]
            if max(codes) <= 0:  # no process was left to report anything
                _, first = error.get_first_failure()
                say(f"stencil: a process was killed by signal {-first.exitcode}", err=True)
            raise click.exceptions.Exit(next((code for code in codes if code > 0), 1)) from error
        except SignalException as error:
            raise click.exceptions.Exit(1) from error


@contextmanager
def _one_signal(exception: Callable[[str, signal.Signals], Exception]) -> Iterator[None]:
    """Pass the first Ctrl-C or SIGTERM to the launcher, as Ctrl-C, and ignore later ones: the processes then stop.

    SIGTERM itself would also kill the loader workers of process 0 in the middle of a step.
    """
    seen: list[bool] = []

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        if not seen:
            seen.append(True)
            raise exception("stopped", signal.SIGINT)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
