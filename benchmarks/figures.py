"""Plots of a benchmark."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.growth import Growth
from benchmarks.rows import Target
from benchmarks.table import Result
from stencilnet.analysis.drawing import INK, MUTED, OTHER_COLOURS, styled
from stencilnet.methods import Finetune, Piggyback, Scratch

_REACHED, _MISSED = Scratch.colour, Finetune.colour
_LINES = (Piggyback.colour, Finetune.colour, OTHER_COLOURS[0])
_MARKERS = "os^"
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def ratios_figure(results: Sequence[Result]) -> Figure:
    """Draw by what factor each ratio is better than its target, one line per row.

    Targets are reached at 1 and to the right of it; the axis shows factors, so that rows of every kind can share it.
    Rows without a target or a number are left out.
    """
    shown = [(result, *_margins(result)) for result in results if result.met is not None]
    with styled():
        figure = Figure(figsize=(8.0, 1.3 + 0.34 * max(1, len(shown))), layout="constrained")
        axes = figure.add_subplot()
        for place, (result, middle, margins) in enumerate(shown):
            colour = _REACHED if result.met else _MISSED
            axes.plot([min(margins), max(margins)], [place, place], color=colour, linewidth=3, alpha=0.4)
            axes.plot([middle], [place], "o" if result.met else "X", color=colour, markersize=7)
        axes.axvline(1, color=INK, linewidth=1)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(_PLAIN)
        axes.set_yticks(range(len(shown)), [result.row.name for result, *_ in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel("times better than the target (line: smallest to largest over repetitions)")
        axes.set_title("Targets: reached (dot) and missed (cross)")
        axes.grid(visible=False, axis="y")
    return figure


def growth_figure(grown: Growth) -> Figure:
    """Draw how costs grow along one axis; both axes are logarithmic, and bars span the repetitions."""
    with styled():
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for line, colour, marker in zip(grown.lines, _LINES, _MARKERS, strict=False):
            middles = [value.median for value in line.values]
            spread = [
                [value.median - value.spread[0] for value in line.values],
                [value.spread[1] - value.median for value in line.values],
            ]
            axes.errorbar(
                line.places, middles, yerr=spread, label=line.name, color=colour, marker=marker, markersize=5, capsize=3
            )
        axes.set_xscale("log", base=2 if max(grown.lines[0].places) < 512 else 10)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(_PLAIN)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xticks(grown.lines[0].places, [f"{place:,}" for place in grown.lines[0].places])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(grown.axis)
        axes.set_ylabel("ms")
        axes.set_title(grown.title)
        axes.legend()
        axes.tick_params(colors=MUTED)
    return figure


def _margins(result: Result) -> tuple[float, list[float]]:
    """Return the margin of a row's median ratio, and those of all repetitions."""
    assert result.found is not None, "rows without a number are left out"
    assert result.row.target is not None, "rows without a target are left out"
    target, ratio = result.row.target, result.found.ratio
    return _margin(target, ratio.median), [_margin(target, value) for value in ratio.values]


def _margin(target: Target, value: float) -> float:
    """Return by what factor a ratio is better than its bound; with two bounds, the smaller factor."""
    value = max(value, 1e-3)  # a difference of seconds may be zero or negative
    sides = [
        *([] if target.least is None else [value / target.least]),
        *([] if target.most is None else [target.most / value]),
    ]
    return min(min(sides), 2.0**10) if math.isfinite(min(sides)) else 2.0**10
