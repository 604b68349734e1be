"""Puts the tables into zeros.md, between its marks, and draws the share of zeros by layer.

python docs/results/zeros/report.py

It reads cells.jsonl beside it: what `study.py` found.
"""

import sys
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure
from study import ARMS, CHANGES, TASKS

from stencilnet.analysis.drawing import INK, OTHER_COLOURS, styled, to_svg
from stencilnet.analysis.plots import bar_names
from stencilnet.methods import Piggyback

sys.path.append(str(Path(__file__).parents[1]))
from pages import Row, measured_on, put, read, write

HERE = Path(__file__).parent
PAGE = HERE.parent / "zeros.md"
COLOURS = dict(zip(ARMS, (Piggyback.colour, OTHER_COLOURS[0]), strict=True))


def alike(rows: list[Row]) -> list[str]:
    """Return zeros, and kappa between two seeds, by arm and task."""
    lines = [
        "| masks | task | zeros | zeros by layer, least to most | kappa of two seeds | by layer, least to most |",
        "| :--- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in (row for row in rows if "zeros" in row):
        zeros, kappas = sorted(row["zeros"].values()), sorted(row["kappa"].values())
        lines.append(
            f"| {row['arm']} | {row['task']} | {100 * row['zeros, all layers']:.0f} % "
            f"| {100 * zeros[0]:.0f} to {100 * zeros[-1]:.0f} % | {row['kappa, all layers']:.3f} "
            f"| {kappas[0]:.2f} to {kappas[-1]:.2f} |"
        )
    return [*lines, "", origin(rows)]


def changes(rows: list[Row]) -> list[str]:
    """Return the metric with the mask as learned, and with its zeros changed, means over seeds and draws."""
    found = [row for row in rows if "change" in row]
    heads = ("as learned", *CHANGES)
    lines = [f"| masks | task | {' | '.join(heads)} |", "| :--- | --- |" + " ---: |" * len(heads)]
    for arm in ARMS:
        for task in TASKS:
            own = [row for row in found if (row["arm"], row["task"]) == (arm, task)]
            values = [mean(mean(row["values"]) for row in own if row["change"] == head) for head in heads]
            name = own[0]["metric"].replace("_", " ")
            lines.append(f"| {arm} | {task}, {name} | {' | '.join(f'{value:.4g}' for value in values)} |")
    return [*lines, "", origin(found)]


def origin(rows: list[Row]) -> str:
    """Return what stands below numbers."""
    seeds = sorted({row["seed"] for row in rows if "seed" in row})
    data = f"Validation data of `demo/small`, width 16; seeds {', '.join(map(str, seeds))}"
    return f"<sub>{data}. {measured_on(rows)}.</sub>"


def by_layer(rows: list[Row]) -> Figure:
    """Draw the share of zeros by layer, a panel a task, a line an arm."""
    with styled():
        figure = Figure(figsize=(9.0, 3.4), layout="constrained")
        panels = figure.subplots(1, len(TASKS), sharey=True)
        for axes, task in zip(panels, TASKS, strict=True):
            for row in (row for row in rows if "zeros" in row and row["task"] == task):
                names = bar_names(list(row["zeros"]), {})
                axes.plot(
                    range(len(names)), list(row["zeros"].values()), "o-", color=COLOURS[row["arm"]], label=row["arm"]
                )
                axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
            axes.axhline(0.5, color=INK, linewidth=0.6, linestyle=":")
            axes.set_title(task)
        panels[0].set_ylabel("share of zeros")
        panels[0].set_ylim(0, 0.6)
        panels[0].legend(fontsize="small")
    return figure


def made() -> dict[Path, str]:
    """Return page and figure as the measurements beside this script make them."""
    rows = read(HERE / "cells.jsonl")
    page = put(put(PAGE.read_text(encoding="utf-8"), "alike", alike(rows)), "changes", changes(rows))
    return {PAGE: page, HERE / "layers.svg": to_svg(by_layer(rows))}


def main() -> None:
    """Write page and figure."""
    write(made())


if __name__ == "__main__":
    main()
