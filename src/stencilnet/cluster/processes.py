"""Processes of this machine as the engine: a small network keeps few cores busy, so several trainings run at once."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch

from stencilnet.cluster.asking import ProcessesAsk
from stencilnet.cluster.work import Outcome, Submit, Work, carry_out
from stencilnet.evaluation.protocol import BACKBONE

_JOBS = 4
"""Most processes if no number is asked for."""


@contextmanager
def on_processes(ask: ProcessesAsk) -> Iterator[Submit]:
    """Start processes that share this process's PyTorch threads: the backbone's job has all, the others equal parts.

    A process that loses this one ends too; what it has learned up to its last checkpoint is kept.
    """
    threads = torch.get_num_threads()
    jobs = ask.jobs or min(threads, _JOBS)
    share = max(1, threads // jobs)
    context = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare)
    try:
        yield lambda work: _Handle(pool.submit(_on_threads, work, threads if work.job.name == BACKBONE else share))
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, but the driver decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a started process
    parent.join()
    os._exit(1)


def _on_threads(work: Work, threads: int) -> Outcome:
    torch.set_num_threads(threads)
    return carry_out(work)


class _Handle:
    def __init__(self, future: "Future[Outcome]") -> None:
        self._future = future

    def outcome(self) -> Outcome | None:
        if not self._future.done():
            return None
        try:
            return self._future.result()
        except CancelledError:
            return Outcome(state="stopped")
        except BrokenProcessPool:
            return Outcome(state="failed", message="a process died, perhaps for lack of memory: ask for fewer jobs")
        except Exception as error:
            return Outcome(state="failed", message=f"{error!r}; the job's log has more")

    def withdraw(self) -> None:
        self._future.cancel()
