"""Puts the study's tables into quality.md, between its two marks, and draws quality against bytes.

python docs/results/quality/report.py

It reads cells.jsonl beside it, and curve.jsonl: what `study.py --curve` found.
"""

import json
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib.figure import Figure
from study import ARMS, BASELINES, PRICES, SCREEN, VARIANTS, gain

from stencilnet.analysis.drawing import INK, METHOD_COLOURS, styled, to_svg

HERE = Path(__file__).parent
PAGE = HERE.parent / "quality.md"
Cell = dict[str, Any]


def tested(cell: Cell) -> Cell:
    """The same cell, its test result in the place of its validation result."""
    return {**cell, "validation": cell["test"][cell["metric"]]}


def screen(cells: list[Cell]) -> list[str]:
    """All arms on the screen's tasks: validation, and how much better than fine-tuning that is."""
    found = {(cell["arm"], cell["task"]): cell for cell in cells if cell["seed"] == 0}
    rows = ["| arm | backbone's norm | " + " | ".join(SCREEN) + " | bits a weight |", "| :--- | :--- |" + " ---: |" * 3]
    for arm, (norm, _) in (BASELINES | VARIANTS).items():
        held = [found.get((arm, task)) for task in SCREEN]
        shown = [told(cell, found["fine-tune", cell["task"]]) if cell else "-" for cell in held]
        rows.append(f"| {arm} | {norm} | {' | '.join(shown)} | {bits([cell for cell in held if cell])} |")
    return rows


def final(cells: list[Cell], tasks: list[str]) -> list[str]:
    """The chosen arms on all tasks: test data, the mean over seeds against fine-tuning's."""
    rows = ["| arm | " + " | ".join(tasks) + " | bits a weight |", "| :--- |" + " ---: |" * (len(tasks) + 1)]
    for arm in ARMS:
        held = [cell for cell in cells if cell["arm"] == arm and cell["test"]]
        if held:
            shown = [seeds([c for c in held if c["task"] == task], cells, task) for task in tasks]
            rows.append(f"| {arm} | {' | '.join(shown)} | {bits(held)} |")
    return rows


def curve(cells: list[Cell]) -> list[str]:
    """Quality against bytes at several prices of zeros, on validation data, the mean over seeds."""
    rows = [
        "| arm | " + " | ".join(f"{task} | bits a weight" for task in SCREEN) + " |",
        "| :--- |" + " ---: | ---: |" * len(SCREEN),
    ]
    for arm in ("fine-tune", "piggyback (paper)", *PRICES):
        shown = []
        for task in SCREEN:
            held, usual = ([c for c in cells if (c["arm"], c["task"]) == (a, task)] for a in (arm, "fine-tune"))
            this, that = ({**all_[0], "validation": mean(c["validation"] for c in all_)} for all_ in (held, usual))
            shown += [told(this, that), bits(held)]
        rows.append(f"| {arm} | {' | '.join(shown)} |")
    return [*rows, "", origin(cells)]


def origin(cells: list[Cell]) -> str:
    """What stands beside numbers."""
    places = sorted({f"{c['hardware']}, torch {c['torch']}, commit {c['commit']}" for c in cells})
    seeds_ = len({cell["seed"] for cell in cells})
    return (
        f"Width {cells[0]['width']}, {cells[0]['steps']} steps a task, {seeds_} seed(s). {'; '.join(places)}; "
        f"{cells[0]['date'][:10]}."
    )


def seeds(held: list[Cell], cells: list[Cell], task: str) -> str:
    """The mean over seeds, by how much it beats fine-tuning, and the spread where there is one."""
    if not held:
        return "-"
    usual = [tested(c) for c in cells if (c["arm"], c["task"]) == ("fine-tune", task) and c["test"]]
    values = [tested(cell)["validation"] for cell in held]
    this = {**held[0], "validation": mean(values)}
    spread = f", {min(values):.4g} to {max(values):.4g}" if len(values) > 1 else ""
    return told(this, {**usual[0], "validation": mean(c["validation"] for c in usual)}) + spread


def told(this: Cell, usual: Cell) -> str:
    """A number, and by how much it beats fine-tuning."""
    return f"{this['validation']:.4g} ({100 * gain(this, usual):+.1f} %)"


def bits(held: list[Cell]) -> str:
    """Bits on disk a backbone weight, head and norms included."""
    return f"{mean(8 * cell['bytes'] / cell['weights'] for cell in held):.2f}" if held else "-"


def pareto(cells: list[Cell], tasks: list[str]) -> Figure:
    """Mean gain over fine-tuning on all tasks, against what a further task takes on disk."""
    usual = {cell["task"]: tested(cell) for cell in cells if cell["arm"] == "fine-tune" and cell["test"]}
    with styled():
        figure = Figure(figsize=(7.0, 4.0), layout="constrained")
        axes = figure.add_subplot()
        markers = iter("os^vD*PX<>hp")
        for arm in ARMS:
            held = {cell["task"]: tested(cell) for cell in cells if cell["arm"] == arm and cell["test"]}
            if set(held) != set(tasks):
                continue
            size = mean(cell["bytes"] for cell in held.values()) / 1024
            value = 100 * mean(gain(held[task], usual[task]) for task in tasks)
            colour = METHOD_COLOURS["piggyback" if arm in VARIANTS or "piggyback" in arm else "finetune"]
            axes.plot([size], [value], next(markers), color=colour, label=arm, markersize=7)
        axes.axhline(0, color=INK, linewidth=1)
        axes.set_xscale("log")
        axes.set_xlabel("a further task on disk, KiB")
        axes.set_ylabel("mean gain over fine-tuning, %")
        axes.set_title("Quality against bytes, five tasks, test data")
        axes.legend(loc="lower right")
    return figure


def put(page: str, name: str, lines: list[str]) -> str:
    """Put lines between a page's two marks of a name."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(start)
    return before + start + "\n\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]


def main() -> None:
    """Write page and plot."""
    cells, prices = (
        [json.loads(line) for line in (HERE / name).read_text().splitlines()] for name in ("cells.jsonl", "curve.jsonl")
    )
    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    counts = sorted({len({c["seed"] for c in cells if (c["arm"], c["task"]) == ("fine-tune", task)}) for task in tasks})
    tables = [
        f"Screen: validation data, seed 0, {len(VARIANTS) + len(BASELINES)} arms.",
        "",
        *screen(cells),
        "",
        f"Final: test data, used once, {'/'.join(str(count) for count in counts)} seed(s); -: not run.",
        "",
        *final(cells, tasks),
        "",
        origin(cells),
    ]
    PAGE.write_text(put(put(PAGE.read_text(), "tables", tables), "curve", curve(prices)))
    (HERE / "pareto.svg").write_text(to_svg(pareto(cells, tasks)))


if __name__ == "__main__":
    main()
