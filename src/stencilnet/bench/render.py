"""Shows measurements: as text, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from stencilnet.bench.machine import Rate
from stencilnet.bench.pipeline import Row
from stencilnet.evaluation.render import Table, words


def pipeline_table(rows: Sequence[Row]) -> Table:
    """Return the input pipeline's numbers, a line for each task and number of workers."""
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
        title="Images a second: loader and training step",
        columns=("task", "batch", "step", "workers", "loader, cold", "loader, warm", "warm / step"),
        rows=tuple(cells),
        words=2,
        notes=(
            "Median (smallest-largest) over repetitions. Step: a mask and a head, and the critic where there is one.",
            "Cold: read from disk, which the system may hold in memory; warm: the passes after that.",
            "Below 1 the device waits for the loader; with 0 workers it waits for every batch.",
        ),
    )


def pipeline_plain(row: Row) -> dict[str, Any]:
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


def _plain(rate: Rate) -> dict[str, Any]:
    return {"median": rate.median, "values": list(rate.values)}


def _shown(rate: Rate) -> str:
    low, high = rate.spread
    return f"{_digits(rate.median)} ({_digits(low)}-{_digits(high)})"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
