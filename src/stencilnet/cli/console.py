"""The terminal: log lines and progress on stderr, the number of threads, and Ctrl-C as a request to stop."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from stencilnet.cores import cores
from stencilnet.text.escaping import printable

if TYPE_CHECKING:
    from rich.console import Console


def console() -> "Console":
    """Return a console on stderr for progress, and send the library's logs to it; stdout is for results alone."""
    from rich.console import Console

    screen = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
    logger = logging.getLogger("stencilnet")
    logger.addHandler(_Lines(screen))
    logger.setLevel(logging.INFO)
    return screen


def teller(screen: "Console") -> Callable[[str], None]:
    """Return a function that prints a line unwrapped, above the progress bar if one is shown."""

    def tell(line: str) -> None:
        screen.print(printable(line))

    return tell


class _Lines(logging.Handler):
    """Prints each log line unwrapped: rich's own handler wraps and pads it to 80 columns, even in files."""

    def __init__(self, screen: "Console") -> None:
        super().__init__()
        self._tell = teller(screen)

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line, above the progress bar if one is shown."""
        self._tell(self.format(record))


def quiet_hub() -> None:
    """Let huggingface_hub show its progress bars on a terminal only; does nothing if it is not installed."""
    if sys.stderr is None or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def use_all_cores() -> None:
    """Let torch use every core that this process may run on, unless OMP_NUM_THREADS is set."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cores())


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Turn Ctrl-C or SIGTERM into a stop request for the training loop; repeating the same signal stops at once.

    The other signal does not, since torch's launcher sends both, one after the other.
    """
    request = threading.Event()
    seen: set[int] = set()

    def ask(number: int, _frame: FrameType | None) -> None:
        if number in seen:
            raise KeyboardInterrupt
        seen.add(number)
        request.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
