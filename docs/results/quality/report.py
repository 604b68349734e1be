"""Puts the study's tables into quality.md, between its marks, and draws quality against bytes.

python docs/results/quality/report.py

It reads wide.jsonl and small.jsonl beside it: the cells of two studies, of networks of width 32 and 16. The README has
a table of the latter too: fine-tuning, the paper's masks and those of the config `photos` that are called recommended.
"""

import json
from itertools import cycle
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from study import ARMS, PRICES, SCREEN, VARIANTS, gain

from stencilnet.analysis.drawing import INK, METHOD_COLOURS, styled, to_svg

HERE = Path(__file__).parent
PAGE = HERE.parent / "quality.md"
README = HERE.parents[2] / "README.md"
RECOMMENDED = "binary + own norm, lr 1e-3, price 0.1"
Cell = dict[str, Any]

GONE: dict[str, dict[str, str]] = {
    "binary, lr 1e-2": {
        "binary, uniform start": "instance",
        "binary, average scaling": "instance",
        "ternary": "instance",
        "affine": "instance",
        "sign": "instance",
    },
    "binary + norm, lr 1e-3": {
        "binary + norm, uniform start": "affine",
        "ternary + norm": "affine",
        "affine + norm": "affine",
        "sign + norm": "affine",
        "sign + norm, lr 1e-3": "affine",
    },
}
"""Measured arms whose options no longer exist, and their backbones' norms, by the arm that they stand behind."""
ROWS = {row: of for arm, (norm, _) in ARMS.items() for row, of in {arm: norm, **GONE.get(arm, {})}.items()}
"""Every arm that may have a row, in order, and its backbone's norm."""
MASKS = {*VARIANTS, *PRICES, *(arm for arms in GONE.values() for arm in arms)}


def tested(cell: Cell) -> Cell:
    """The same cell, its test result in the place of its validation result."""
    return {**cell, "validation": cell["test"][cell["metric"]]}


def screened(cells: list[Cell]) -> dict[tuple[str, str], Cell]:
    """The first seed's cells on the screen's tasks, by arm and task, for arms that have them all."""
    found = {(c["arm"], c["task"]): c for c in cells if c["seed"] == 0 and c["task"] in SCREEN}
    return {(arm, task): c for (arm, task), c in found.items() if all((arm, other) in found for other in SCREEN)}


def screen(cells: list[Cell]) -> list[str]:
    """Arms on the screen's tasks: validation, how much better than fine-tuning that is, and bits."""
    found = screened(cells)
    rows = [
        "| arm | backbone's norm | " + " | ".join(f"{task} | bits a weight" for task in SCREEN) + " |",
        "| :--- | :--- |" + " ---: | ---: |" * len(SCREEN),
    ]
    for arm, norm in ROWS.items():
        held = [found[arm, task] for task in SCREEN if (arm, task) in found]
        if held:
            shown = [f"{told(cell, found['fine-tune', cell['task']])} | {bits([cell])}" for cell in held]
            rows.append(f"| {arm} | {norm} | {' | '.join(shown)} |")
    return rows


def final(cells: list[Cell], tasks: list[str]) -> list[str]:
    """The chosen arms on all tasks: test data, the mean over seeds against fine-tuning's."""
    rows = ["| arm | " + " | ".join(tasks) + " | bits a weight |", "| :--- |" + " ---: |" * (len(tasks) + 1)]
    for arm in ROWS:
        held = [cell for cell in cells if cell["arm"] == arm and cell["test"]]
        if held:
            shown = [seeds([c for c in held if c["task"] == task], cells, task) for task in tasks]
            rows.append(f"| {arm} | {' | '.join(shown)} | {bits(held)} |")
    return rows


def beside(cells: list[Cell]) -> list[str]:
    """Fine-tuning, the paper's masks and the recommended ones: test data, means over the seeds that all three have."""
    arms = ("fine-tune", "piggyback (paper)", RECOMMENDED)
    named = ("fine-tune", "paper's masks", "recommended masks")
    held = {(c["arm"], c["task"], c["seed"]): tested(c) for c in cells if c["test"]}
    rows = ["| task | metric | " + " | ".join(named) + " |", "| --- | --- |" + " ---: |" * len(arms)]
    counts = []
    for task in dict.fromkeys(task for _, task, _ in held):
        seeds_ = [seed for _, other, seed in held if other == task]
        whole = sorted({seed for seed in seeds_ if all((arm, task, seed) in held for arm in arms)})
        first = held[arms[0], task, whole[0]]
        means = [{**first, "validation": mean(held[arm, task, s]["validation"] for s in whole)} for arm in arms]
        counts.append(len(whole))
        shown = [f"{means[0]['validation']:.4g}", *(told(each, means[0]) for each in means[1:])]
        direction = "↑" if first["higher_is_better"] else "↓"
        rows.append(f"| {task} | {first['metric'].replace('_', ' ')} {direction} | {' | '.join(shown)} |")
    sizes = [[cell for (other, *_), cell in held.items() if other == arm] for arm in arms]
    rows.append(f"| bits a backbone weight, head included | ↓ | {' | '.join(bits(each) for each in sizes)} |")
    each = "/".join(str(count) for count in counts)
    return [
        *rows,
        "",
        f"<sub>Means over {each} seeds, in brackets the gain over fine-tuning. {origin(list(held.values()))}</sub>",
    ]


def origin(cells: list[Cell]) -> str:
    """What stands beside numbers."""
    places = sorted({f"{c['hardware']}, torch {c['torch']}, commit {c['commit']}" for c in cells})
    seeds_ = len({cell["seed"] for cell in cells})
    return (
        f"Width {cells[0]['width']}, {cells[0]['steps']} steps a task, {seeds_} seed(s). {'; '.join(places)}; "
        f"{cells[0]['date'][:10]}."
    )


def seeds(held: list[Cell], cells: list[Cell], task: str) -> str:
    """The mean over seeds, by how much it beats fine-tuning's with the same, and the spread where there is one."""
    if not held:
        return "-"
    same = {cell["seed"] for cell in held}
    usual = [
        tested(c) for c in cells if (c["arm"], c["task"]) == ("fine-tune", task) and c["test"] and c["seed"] in same
    ]
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


def pareto(cells: list[Cell], title: str) -> Figure:
    """Mean gain over fine-tuning, of arms that have all of its tasks, against what a further task takes on disk."""
    usual = {cell["task"]: cell for cell in cells if cell["arm"] == "fine-tune"}
    with styled():
        figure = Figure(figsize=(8.0, 5.0), layout="constrained")
        axes = figure.add_subplot()
        markers = cycle("os^vD*PX<>hp")
        for arm in ROWS:
            held = {cell["task"]: cell for cell in cells if cell["arm"] == arm}
            if set(held) != set(usual):
                continue
            size = mean(cell["bytes"] for cell in held.values()) / 1024
            value = 100 * mean(gain(held[task], usual[task]) for task in usual)
            colour = METHOD_COLOURS["piggyback" if arm in MASKS or "piggyback" in arm else "finetune"]
            style = "none" if arm in PRICES else "full"
            axes.plot([size], [value], next(markers), color=colour, label=arm, markersize=7, fillstyle=style)
        axes.axhline(0, color=INK, linewidth=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.set_xlabel("a further task on disk, KiB")
        axes.set_ylabel("mean gain over fine-tuning, %")
        axes.set_title(title)
        figure.legend(loc="outside right upper", fontsize="small")
    return figure


def put(page: str, name: str, lines: list[str]) -> str:
    """Put lines between a page's two marks of a name."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(start)
    return before + start + "\n\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]


def made() -> dict[Path, str]:
    """Return page, plots and README as the cells beside this script make them."""
    wide, small = (
        [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()] for name in ("wide", "small")
    )
    page = PAGE.read_text()
    for name, cells in (("wide", wide), ("small", small)):
        measured = [cell for cell in cells if cell["test"]]
        tasks = list(dict.fromkeys(cell["task"] for cell in measured))
        page = put(page, f"{name} final", [*final(cells, tasks), "", origin(measured)])
        page = put(page, f"{name} screen", [*screen(cells), "", origin(list(screened(cells).values()))])
    tests = [tested(cell) for cell in wide if cell["test"]]
    screens = list(screened(small).values())
    return {
        PAGE: page,
        README: put(README.read_text(), "recommended", beside(small)),
        HERE / "pareto.svg": to_svg(pareto(tests, "Width 32: five tasks, test data")),
        HERE / "pareto-small.svg": to_svg(pareto(screens, "Width 16: two tasks, validation data")),
    }


def main() -> None:
    """Write page and plots."""
    for path, text in made().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
