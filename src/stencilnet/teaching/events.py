"""What happens in a teaching, as JSON data for a program that follows it: `stencil teach --events`."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from stencilnet.teaching.planning import Lesson
from stencilnet.teaching.teaching import Taught
from stencilnet.teaching.wording import as_plain, columns, trivial_words
from stencilnet.training.sinks import TrainingInfo


class Events:
    """A sink that reports a training, and what comes before and after it, as events.

    ==========  ========================================================================================
    event       its further keys
    ==========  ========================================================================================
    `note`      `text`: what is done, in words
    `plan`      what ``--dry-run --json`` prints
    `start`     `step` and `steps`: the last step done, and all; `metric`, `higher_is_better`,
                `trivial` (in words), `trivial_value` (null if there is none)
    `step`      `step`; `seconds_left`; `value` of the metric, if it was measured
    `samples`   `file`: sample pictures of the step `step`, side by side; `columns`: what they are
    `result`    what ``--json`` prints, and `trivial_words`
    ==========  ========================================================================================

    Args:
        write: Receives each event.
        clock: Returns seconds since an arbitrary start.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._lesson: Lesson | None = None
        self._trivial = math.nan
        self._run: TrainingInfo | None = None
        self._began = 0.0

    def note(self, text: str) -> None:
        """Report what is done."""
        self._write({"event": "note", "text": text})

    def plan(self, lesson: Lesson) -> None:
        """Report what is going to be learned."""
        self._lesson = lesson
        self._write({"event": "plan", **as_plain(lesson)})

    def trivial(self, value: float) -> None:
        """Take note of how good the trivial answer is."""
        self._trivial = value

    def start(self, run: TrainingInfo) -> None:
        """Report that the training starts."""
        task = self._known.task
        self._run, self._began = run, self._clock()
        self._write(
            {
                "event": "start",
                "step": run.first,
                "steps": run.steps,
                "metric": task.metrics[0].name,
                "higher_is_better": task.metrics[0].higher_is_better,
                "trivial": trivial_words(self._known),
                "trivial_value": _finite(self._trivial),
            }
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Report a step."""
        assert self._run is not None, "start comes first"
        spent = (self._clock() - self._began) / max(step - self._run.first, 1)
        found = {"value": _finite(values[self._run.headline])} if self._run.headline in values else {}
        left = round(spent * (self._run.steps - step))
        self._write({"event": "step", "step": step, "seconds_left": left, **found})

    def picture(self, step: int, sheet: Image.Image) -> None:  # noqa: ARG002
        """Report the file of sample pictures, which another sink has written."""
        file = self._known.request.folder / "samples" / f"step-{step:06d}.png"
        self._write({"event": "samples", "step": step, "file": str(file), "columns": list(columns(self._known))})

    def end(self) -> None:
        """Do nothing: what comes of it is reported by `result`."""

    def result(self, taught: Taught) -> None:
        """Report how good the task is."""
        lesson = self._known
        self._write({"event": "result", **as_plain(lesson, taught), "trivial_words": trivial_words(lesson)})

    @property
    def _known(self) -> Lesson:
        assert self._lesson is not None, "plan comes first"
        return self._lesson


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
