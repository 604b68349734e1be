"""Progress display: a bar on a terminal, otherwise plain lines at regular intervals."""

import time
from collections.abc import Callable, Mapping

from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from stencilnet.text.escaping import printable
from stencilnet.training.sinks import TrainingInfo


class ProgressBar:
    """Loss, headline metric and time left, on a rich console.

    Args:
        console: Console to write to; the command line's is on stderr.
        every: Seconds between two plain lines if the console is not a terminal. Default: 30.
        clock: Returns seconds since an arbitrary start.
    """

    def __init__(self, console: Console, every: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._every = every
        self._clock = clock
        self._run: TrainingInfo | None = None
        self._latest: dict[str, float] = {}
        self._step = 0
        self._started = self._spoke = 0.0
        self._bar: tuple[Progress, TaskID] | None = None

    def start(self, run: TrainingInfo) -> None:
        """Show the training's name and first step."""
        self._run = run
        self._latest = {}
        self._step = run.first
        self._started = self._spoke = self._clock()
        if not self._console.is_terminal:
            begin = f"from step {run.first}" if run.first else "from the start"
            self._print(f"{run.name}: {run.steps} steps, {begin}")
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}", markup=False),
            TimeRemainingColumn(),
        )
        bar = Progress(*columns, console=self._console)
        self._bar = bar, bar.add_task(printable(run.name), total=run.steps, completed=run.first, values="")
        bar.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Update the values and show them."""
        assert self._run is not None, "start comes first"
        self._latest |= values
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=step, values=self._shown())
        elif self._clock() - self._spoke >= self._every and step < self._run.steps:
            self._tell(step)
        self._step = step

    def picture(self, step: int, sheet: Image.Image) -> None:
        """Ignore the picture: it is stored as a file."""

    def end(self) -> None:
        """Stop the bar and leave it visible; off a terminal, print the last step with all of its values."""
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None
        elif self._run is not None and self._step == self._run.steps:
            self._tell(self._step)

    def _tell(self, step: int) -> None:
        assert self._run is not None, "start comes first"
        self._spoke = self._clock()
        parts = [f"step {step}/{self._run.steps}", self._shown(), self._left(step)]
        self._print(f"{self._run.name}: " + ", ".join(filter(None, parts)))

    def _shown(self) -> str:
        assert self._run is not None, "start comes first"
        names = {"loss": "loss", self._run.headline: self._run.headline.removeprefix("validation/")}
        return ", ".join(f"{label} {self._latest[name]:.4g}" for name, label in names.items() if name in self._latest)

    def _left(self, step: int) -> str:
        assert self._run is not None, "start comes first"
        if step >= self._run.steps:
            return ""
        seconds = (self._clock() - self._started) / max(step - self._run.first, 1) * (self._run.steps - step)
        minutes, seconds = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d} left"

    def _print(self, line: str) -> None:
        self._console.print(printable(line), highlight=False, markup=False, emoji=False, soft_wrap=True)
