"""Training curves, read from a training's ``metrics.csv``."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stencilnet.tasks.task import Metric
from stencilnet.text.shortening import brief

Series = tuple[tuple[int, ...], tuple[float, ...]]
"""Steps and values."""

_HEADER = ["step", "name", "value"]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The curves of one training over its steps.

    Attributes:
        loss: The training loss.
        validation: The headline metric on validation examples.
        selected: The step that validation selected; None if unknown.
    """

    loss: Series
    validation: Series
    selected: int | None = None


def read_curves(path: Path, metric: Metric, selected: int | None = None) -> Curves:
    """Read a training's curves.

    Args:
        path: A ``metrics.csv``, with one line ``step,name,value`` per value.
        metric: The headline metric.
        selected: The step that validation selected; None (the default) if unknown.

    Raises:
        ValueError: If the file has another form; the message names the line.
    """
    found: dict[str, dict[int, float]] = {"loss": {}, f"validation/{metric.name}": {}}
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if (header := next(lines, [])) != _HEADER:
            raise ValueError(f"Expected {path} to begin with {','.join(_HEADER)!r}, but got {brief(','.join(header))}.")
        for fields in lines:
            try:
                step, name, value = fields
                if name in found:
                    found[name][int(step)] = float(value)
            except ValueError:
                raise ValueError(
                    f"Expected line {lines.line_num} of {path} to be a step, a name and a number, but got "
                    f"{brief(','.join(fields))}. If the training was interrupted, resume it; this repairs the file."
                ) from None
    loss, validation = (_series(values) for values in found.values())
    return Curves(loss=loss, validation=validation, selected=selected)


def joined(trainings: Sequence[Curves], selected: int | None = None) -> Curves:
    """Return consecutive trainings as one, with steps counted from the start of the first.

    Args:
        trainings: At least one training.
        selected: The step that validation selected, in the same count; None (the default) if unknown.
    """
    loss: Series = ((), ())
    validation: Series = ((), ())
    done = 0
    for training in trainings:
        loss, validation = _appended(loss, training.loss, done), _appended(validation, training.validation, done)
        done = max((*loss[0], *validation[0]), default=done)
    return Curves(loss=loss, validation=validation, selected=selected)


def _appended(series: Series, more: Series, done: int) -> Series:
    return (*series[0], *(step + done for step in more[0])), (*series[1], *more[1])


def _series(values: dict[int, float]) -> Series:
    steps = tuple(sorted(values))
    return steps, tuple(values[step] for step in steps)
