"""What the terminal sees: log lines and progress on stderr, threads for the work, Ctrl-C as a wish to stop."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> "Console":
    """Return the console that progress and logs go to: stderr, so that stdout holds results alone."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def log_to(screen: "Console") -> None:
    """Send the library's log lines to the screen."""
    from rich.logging import RichHandler

    handler = RichHandler(console=screen, show_time=False, show_path=False, show_level=False)
    logger = logging.getLogger("stencilnet")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def use_all_cores() -> None:
    """Let torch use every core this process may run on, unless OMP_NUM_THREADS says otherwise."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        available = os.sched_getaffinity(0) if sys.platform == "linux" else range(os.cpu_count() or 1)
        torch.set_num_threads(len(available))


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a wish that the training loop sees; the second one is immediate."""
    wish = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if wish.is_set():
            raise KeyboardInterrupt
        wish.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
