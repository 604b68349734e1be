"""Puts the table into strengths.md, between its marks.

python docs/results/strengths/report.py

It reads rows.jsonl beside it: what `study.py` found.
"""

import sys
from pathlib import Path

from study import FIRST, RATES, SEED, STEPS, experiment

sys.path.append(str(Path(__file__).parents[1]))
from pages import Row, measured_on, put, read, write

HERE = Path(__file__).parent
PAGE = HERE.parent / "strengths.md"


def table(rows: list[Row]) -> list[str]:
    """Return each task right after it was learned and in the last state, by arm."""
    tasks = (FIRST, *RATES)
    metrics = {name: experiment().plan(name).task.metrics[0] for name in tasks}
    arrows = {name: f"{metrics[name].name} {'↑' if metrics[name].higher_is_better else '↓'}" for name in tasks}
    heads = [f"{name}, {arrows[name]}" for name in tasks]
    lines = [f"| method | {' | '.join(heads)} |", "| :--- |" + " ---: |" * len(tasks)]
    for row in rows:
        cells = [f"{row['learned'][name]:.4g} → {row['last'][name]:.4g}" for name in tasks[:-1]]
        lines.append(f"| {row['arm']} | {' | '.join([*cells, format(row['last'][tasks[-1]], '.4g')])} |")
    origin = f"Config `photos`, width 16, {STEPS} steps a task, validation data, seed {SEED}. {measured_on(rows)}."
    return [*lines, "", f"<sub>{origin}</sub>"]


def made() -> dict[Path, str]:
    """Return the page as the measurements beside this script make it."""
    return {PAGE: put(PAGE.read_text(encoding="utf-8"), "strengths", table(read(HERE / "rows.jsonl")))}


def main() -> None:
    """Write the page."""
    write(made())


if __name__ == "__main__":
    main()
