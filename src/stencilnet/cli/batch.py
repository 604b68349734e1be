"""Runs over many files: a progress bar, what is done already, errors, a summary, and a folder that is watched."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stencilnet.cli.streams import say
from stencilnet.storage import write_file
from stencilnet.text.escaping import one_line
from stencilnet.text.strict_json import dumps

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

Planned = dict[Path, Path]
"""The output file of each input file."""

RECORD = ".stencil-run.json"
"""File in a folder of outputs that says what they were made by."""

POLL = 1.0
"""Seconds between two looks at a watched folder."""


@dataclass(kw_only=True)
class Batch:
    """A run over files, and how many were written, skipped and failed.

    Attributes:
        process: Runs files; yields each input with its error or None, as `run_files` does.
        screen: Where progress is shown.
        resume: Whether to skip inputs whose output exists and is not older.
        stops: Whether the first error ends the run.
        since: Date in nanoseconds before which outputs do not count as existing (`counted_since`).
        stop: Called after each file; the run ends if it returns True.
    """

    process: "Callable[[Planned], Generator[tuple[Path, str | None]]]"
    screen: "Console"
    resume: bool = False
    stops: bool = False
    since: int = 0
    stop: Callable[[], bool] = lambda: False
    written: int = 0
    skipped: int = 0
    failed: int = 0

    def run(self, planned: Planned) -> bool:
        """Run files; a bad one is reported in one line. Return whether the run may go on."""
        done = {source for source, out in planned.items() if self.resume and is_current(source, out, self.since)}
        left = {source: out for source, out in planned.items() if source not in done}
        self.skipped += len(planned) - len(left)
        with progress(self.screen, len(left), "files") as advance, closing(self.process(left)) as results:
            for source, problem in results:
                advance()
                if problem is None:
                    self.written += 1
                    say(planned[source])
                else:
                    self.failed += 1
                    named = str(source) in problem  # most errors name the file themselves
                    say(f"stencil: {one_line(problem if named else f'{source}: {problem}')}", err=True)
                if self.stop() or (self.stops and problem is not None):
                    return False
        return True

    def watch(self, plan: Callable[[], Planned], wait: Callable[[], bool]) -> None:
        """Run files as they appear or change, once their size and date stay the same from one look to the next.

        Args:
            plan: Returns the files that are there.
            wait: Waits until the next look; returns True to end.
        """
        seen: Mapping[Path, tuple[int, int]] = {}
        done: dict[Path, tuple[int, int]] = {}
        while True:
            planned = plan()
            now = {source: stamp for source in planned if (stamp := _stamp(source)) is not None}
            ready = {source: planned[source] for source, stamp in now.items() if seen.get(source) == stamp}
            ready = {source: out for source, out in ready.items() if done.get(source) != now[source]}
            if ready and not self.run(ready):
                return
            done |= {source: now[source] for source in ready}
            seen = now
            if wait():
                return

    def summarise(self) -> None:
        """Say on stderr how many files were written, skipped and failed; if all were written, only on a terminal."""
        if self.screen.is_terminal or self.skipped or self.failed:
            say(f"{self.written} written, {self.skipped} skipped, {self.failed} failed", err=True)


def planned_outputs(inputs: Sequence[str], output: Path, *, watch: bool) -> Planned:
    """Return the outputs of inputs: none yet of a watched folder, whose pictures are planned as they arrive.

    Raises:
        ValueError: As for `stencilnet.runtime.planning.plan_outputs`, but a watched folder may be empty.
    """
    from stencilnet.runtime.planning import NoInputError, plan_outputs

    if not watch:
        return plan_outputs(inputs, output)
    with suppress(NoInputError):
        plan_outputs(inputs, output, note=lambda _: None)
    return {}


def watch_folder(batch: Batch, folder: str, output: Path) -> None:
    """Run the pictures of a folder as they arrive, until Ctrl-C or SIGTERM; the file in work is finished first."""
    from stencilnet.cli.console import stop_on_signal
    from stencilnet.runtime.planning import NoInputError, plan_outputs

    told: set[str] = set()

    def note(line: str) -> None:
        if line not in told:
            say(line, err=True)
        told.add(line)

    def plan() -> Planned:
        try:
            return plan_outputs([folder], output, note=lambda _: None)
        except NoInputError:
            return {}
        except ValueError as error:  # such as two files that would both be written to one
            note(f"stencil: {error}")
            return {}

    with stop_on_signal() as request:
        batch.stop = request.is_set
        batch.watch(plan, lambda: request.wait(POLL))


def is_current(source: Path, output: Path, since: int = 0) -> bool:
    """Return whether an output exists and is older neither than its input nor than a date in nanoseconds."""
    made, given = _stamp(output), _stamp(source)
    return made is not None and given is not None and made[1] >= max(given[1], since)


def origin_of(bundle: Path, task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what outputs of a task depend on: its record, which names delta and backbone by their hashes, and options.

    Raises:
        BundleError: If the record cannot be read.
    """
    from stencilnet.bundle.disk import read_file
    from stencilnet.bundle.format import TASK, TASKS, sha256_of

    return {"task": sha256_of(read_file(bundle, bundle / TASKS / task / TASK)), **options}


def counted_since(folder: Path, origin: Mapping[str, Any], *, resume: bool) -> int:
    """Return the date, in nanoseconds, from which on outputs in a folder are of one origin, which is recorded there.

    The date is that of the record, which is written when the origin changes; with `resume`, a note says so.

    Args:
        folder: The folder of the outputs; created if it does not exist.
        origin: What outputs depend on, beside their inputs, as JSON data.
        resume: Whether this run skips what is done; what lies in a folder without a record counts then.
    """
    record, data = folder / RECORD, dumps(origin, sort_keys=True).encode()
    known = record.read_bytes() if record.exists() else None
    if known != data:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(record, data)
        if known is None and resume:
            os.utime(record, ns=(0, 0))
        elif resume:
            say(f"{folder}: what is there was made by another task or other options, and is made again", err=True)
    return record.stat().st_mtime_ns


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return a file's size and date; None if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


@contextmanager
def progress(screen: "Console", count: int | None, unit: str) -> Iterator[Callable[[], None]]:
    """Show a bar with rate and time left on a terminal; yield a function to call after each piece of work.

    Args:
        screen: The terminal.
        count: Number of pieces; None if it is unknown. A single one has no bar.
        unit: What they are, for the rate, such as "files".
    """
    if (count is not None and count < 2) or not screen.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.3g} {unit}/s" if task.speed else "")

    columns = (BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    # Lines of a stdout that is no terminal must not go to the bar's stream.
    redirected = sys.stdout is not None and sys.stdout.isatty()
    with Progress(*columns, console=screen, redirect_stdout=redirected) as bar:
        shown = bar.add_task("", total=count)
        yield lambda: bar.advance(shown)
