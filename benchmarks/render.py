"""Measurements as tables and as JSON data."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.growth import Growth
from benchmarks.machine import Measured
from benchmarks.pipeline import PipelineRow
from benchmarks.table import Result
from stencilnet.evaluation.render import DASH, Table, words


def rows_table(results: Sequence[Result], repetitions: int) -> Table:
    """Return the performance table, with one line per row and an explanation of each row in its notes."""
    return Table(
        title="Side by side",
        columns=("row", "ratio", "target", "reached", "this", "that", "unit"),
        rows=tuple(words(*_line(result)) for result in results),
        words=1,
        notes=(
            *(_meaning(result) for result in results),
            f"Median (smallest-largest) over {repetitions} repetitions, each of which measures this and that one after "
            "the other; rows whose repetitions take minutes have fewer, but at least two.",
        ),
    )


def rows_plain(result: Result) -> dict[str, Any]:
    """Return a row as JSON data."""
    row, found = result.row, result.found
    plain: dict[str, Any] = {
        "row": row.name,
        "what": row.what,
        "against": row.against,
        "target": None if row.target is None else {"least": row.target.least, "most": row.target.most},
        "met": result.met,
    }
    if found is None:
        return {**plain, "reason": result.reason}
    numbers = {"first": _plain(found.first), "second": _plain(found.second), "ratio": _plain(found.ratio)}
    return {**plain, "unit": found.unit, **numbers, "note": found.note}


def growth_plain(grown: Growth) -> dict[str, Any]:
    """Return a plot's numbers as JSON data, in milliseconds."""
    lines = {
        line.name: [{"at": place, **_plain(value)} for place, value in zip(line.places, line.values, strict=True)]
        for line in grown.lines
    }
    return {"title": grown.title, "axis": grown.axis, "lines": lines}


def _line(result: Result) -> tuple[str, ...]:
    row, found = result.row, result.found
    target = DASH if row.target is None else str(row.target)
    if found is None:
        return row.name, DASH, target, DASH, DASH, DASH, ""
    reached = {None: DASH, True: "yes", False: "no"}[result.met]
    this, that = _digits(found.first.median), _digits(found.second.median)
    return row.name, _shown(found.ratio), target, reached, this, that, found.unit


def _meaning(result: Result) -> str:
    row, found = result.row, result.found
    beside = f"not measured: {result.reason}" if found is None else found.note
    return f"{row.name}: {row.what} against {row.against}" + (f" ({beside})." if beside else ".")


def pipeline_table(rows: Sequence[PipelineRow]) -> Table:
    """Return the input pipeline's numbers, with one line per task and number of workers."""
    cells = [
        words(
            row.task,
            f"{row.batch} x {row.crop} px",
            _shown(row.step),
            str(found.workers),
            _shown(found.cold),
            _shown(found.warm),
            _shown(found.busy),
        )
        for row in rows
        for found in row.passes
    ]
    return Table(
        title="Images per second: loader and training step",
        columns=("task", "batch", "step", "workers", "loader, cold", "loader, warm", "warm / step"),
        rows=tuple(cells),
        words=2,
        notes=(
            "Median (smallest-largest) over repetitions. Step: training a mask and a head, and a critic if the task "
            "has one.",
            "Cold: read from disk (the system may hold the files in memory); warm: the next pass.",
            "Below 1 the device waits for the loader; with 0 workers it waits for every batch.",
        ),
    )


def pipeline_plain(row: PipelineRow) -> dict[str, Any]:
    """Return a task's numbers as JSON data."""
    return {
        **{key: value for key, value in asdict(row).items() if key not in ("step", "passes")},
        "step": _plain(row.step),
        "passes": [
            {
                "workers": found.workers,
                "cold": _plain(found.cold),
                "warm": _plain(found.warm),
                "warm_by_step": _plain(found.busy),
            }
            for found in row.passes
        ],
    }


def _plain(rate: Measured) -> dict[str, Any]:
    return {"median": rate.median, "values": list(rate.values)}


def _shown(rate: Measured) -> str:
    low, high = rate.spread
    return f"{_digits(rate.median)} ({_digits(low)}-{_digits(high)})"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}" if 0.9 < value < 1.1 else f"{value:.3g}"
