"""Puts the study's table into one-bit.md, between its two marks.

python docs/results/one-bit/report.py

It reads cells.jsonl beside it: what `study.py` found.
"""

import json
from pathlib import Path
from typing import Any

from study import ARMS, METRICS, RATES, TASKS

HERE = Path(__file__).parent
PAGE = HERE.parent / "one-bit.md"
MARK = "<!-- table -->"
Cell = dict[str, Any]


def table(cells: list[Cell]) -> list[str]:
    """Return the rows: an arm at a rate, its bits, and each task's value at each seed, with the gain over fine-tuning.

    The gain is over fine-tuning at the same rate and seed, so that all but the arm is alike.
    """
    found = {(cell["arm"], cell["task"], cell["seed"], cell["rate"]): cell for cell in cells}
    seeds = sorted({cell["seed"] for cell in cells})
    arrows = {task: "↑" if METRICS[task][1] else "↓" for task in TASKS}
    heads = [f"{task}, {METRICS[task][0]} {arrows[task]}, seed {seed}" for task in TASKS for seed in seeds]
    rows = [f"| arm | rate | bits a weight | {' | '.join(heads)} |", "| --- | ---: | ---: |" + " ---: |" * len(heads)]
    for arm in ARMS:
        for rate in RATES:
            own = [found.get((arm, task, seed, rate)) for task in TASKS for seed in seeds]
            tuned = [found.get(("fine-tune", task, seed, rate)) for task in TASKS for seed in seeds]
            if any(own):
                bits = max(cell["bits"] for cell in own if cell)
                shown = [value(cell, beside) for cell, beside in zip(own, tuned, strict=True)]
                rows.append(f"| {arm} | {rate:g} | {bits:.2f} | {' | '.join(shown)} |")
    return rows


def value(cell: Cell | None, tuned: Cell | None) -> str:
    """Return a cell's value, and by how many percent it is better than fine-tuning's."""
    if cell is None:
        return "-"
    text = f"{cell['value']:.1f}"
    if tuned is None or cell["arm"] == "fine-tune":
        return text
    gain = 100 * (cell["value"] / tuned["value"] - 1) * (1 if METRICS[cell["task"]][1] else -1)
    return f"{text} ({gain:+.1f} %)"


def made() -> dict[Path, str]:
    """Return the page as the cells beside this script make it."""
    cells = [json.loads(line) for line in (HERE / "cells.jsonl").read_text().splitlines()]
    before, _, after = PAGE.read_text(encoding="utf-8").split(MARK)
    facts = "; ".join(sorted({f"commit {cell['commit']}, {cell['hardware']}, torch {cell['torch']}" for cell in cells}))
    told = f"{facts}; {sum(cell['seconds'] for cell in cells) / 60:.0f} minutes of one thread for all cells."
    return {PAGE: f"{before}{MARK}\n\n" + "\n".join([*table(cells), "", told]) + f"\n\n{MARK}{after}"}


def main() -> None:
    """Write the table."""
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
