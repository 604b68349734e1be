"""A whole benchmark (rows, growth, the machine), as text, as JSON and as files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.figures import growth_figure, ratios_figure
from benchmarks.growth import Growth, with_size, with_tasks, with_width
from benchmarks.machine import machine, machine_line
from benchmarks.render import growth_plain, rows_plain, rows_table
from benchmarks.rows import Setting
from benchmarks.table import Result, measure_rows
from stencilnet.analysis.drawing import to_svg
from stencilnet.evaluation.render import to_markdown, to_text
from stencilnet.storage import write_text
from stencilnet.text.strict_json import dumps

_GROWTH = {"width": with_width, "size": with_size, "tasks": with_tasks}


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """The results of a benchmark.

    Attributes:
        setting: The setting it was measured with.
        results: Rows of the table.
        grown: Growth of costs, by what varies.
        machine: Facts on the machine.
    """

    setting: Setting
    results: tuple[Result, ...]
    grown: dict[str, Growth]
    machine: dict[str, Any]


def measure(setting: Setting, rows: Sequence[str] = (), *, growth: bool) -> Iterator[BenchReport]:
    """Measure rows of the table and the growth of costs; yield the report so far after each, in case of an early stop.

    Args:
        setting: The setting to measure with.
        rows: Names of rows; empty (the default) for all.
        growth: Whether to measure growth too.

    Raises:
        ValueError: If there are too few repetitions or a row is unknown.
    """
    report = BenchReport(setting=setting, results=(), grown={}, machine=machine(setting.device))
    for result in measure_rows(setting, rows):
        report = replace(report, results=(*report.results, result))
        yield report
    for name, measured in _GROWTH.items() if growth else ():
        report = replace(report, grown={**report.grown, name: measured(setting)})
        yield report


def as_plain(report: BenchReport) -> dict[str, Any]:
    """Return a benchmark as JSON data."""
    setting = report.setting
    return {
        "machine": report.machine,
        "width": setting.width,
        "size": setting.size,
        "repetitions": setting.repetitions,
        "rows": [rows_plain(result) for result in report.results],
        "growth": {name: growth_plain(grown) for name, grown in report.grown.items()},
    }


def as_text(report: BenchReport) -> str:
    """Return a benchmark's table for a terminal."""
    return f"{to_text(rows_table(report.results, report.setting.repetitions))}\n{machine_line(report.machine)}"


def write(report: BenchReport, folder: Path) -> tuple[Path, ...]:
    """Write a benchmark's numbers, table and plots into a folder.

    Returns:
        Paths of the files.
    """
    texts = {
        "bench.json": dumps(as_plain(report), indent=2) + "\n",
        "bench.md": f"{to_markdown(rows_table(report.results, report.setting.repetitions))}\n"
        f"{machine_line(report.machine)}\n",
        "ratios.svg": to_svg(ratios_figure(report.results)),
        **{f"growth-{name}.svg": to_svg(growth_figure(grown)) for name, grown in report.grown.items()},
    }
    for name, text in texts.items():
        write_text(folder / name, text, sync=False)
    return tuple(folder / name for name in texts)
