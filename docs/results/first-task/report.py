"""Puts the study's table into first-task.md, between its two marks.

python docs/results/first-task/report.py

It reads cells.jsonl beside it: what `study.py` found.
"""

import json
from pathlib import Path
from typing import Any

from study import BACKBONES, TASKS, TRIVIAL

HERE = Path(__file__).parent
PAGE = HERE.parent / "first-task.md"
MARK = "<!-- table -->"
WORDS = {
    "streets": "streets (CamVid): segmentation, the config's own",
    "colour": "colouring of BSDS500",
    "denoise": "denoising of BSDS500, noise of sigma 25",
    "imagenet": "ImageNet (`init: vgg13`)",
    "random": "none: random weights by the seed",
}
Cell = dict[str, Any]


def table(cells: list[Cell]) -> list[str]:
    """Return the rows: backbones, then what needs none; the best mask of each column in bold."""
    found = {(cell["backbone"], cell["method"], cell["task"]): cell for cell in cells}
    heads = [headline(cells, task) for task in TASKS]
    rows = ["| first task | " + " | ".join(heads) + " |", "| :--- |" + " ---: |" * len(TASKS)]
    for backbone, words in WORDS.items():
        shown = [pair(found, backbone, task) for task in TASKS]
        rows.append(f"| {words} | {' | '.join(shown)} |")
    for method, words in (("scratch", "no backbone: from scratch"), (TRIVIAL, "trivial baseline")):
        shown = [number(found.get(("-", method, task))) for task in TASKS]
        rows.append(f"| {words} | {' | '.join(shown)} |")
    return rows


def headline(cells: list[Cell], task: str) -> str:
    """Return a task with its metric and the metric's direction."""
    cell = next(cell for cell in cells if cell["task"] == task)
    return f"{task}: {cell['metric']} {'higher' if cell['higher_is_better'] else 'lower'} is better"


def pair(found: dict[tuple[str, str, str], Cell], backbone: str, task: str) -> str:
    """Return a mask's number, bold if it is the best one, and fine-tuning's."""
    masks = {name: found[name, "piggyback", task] for name in BACKBONES if (name, "piggyback", task) in found}
    mask = number(masks.get(backbone))
    if backbone in masks:
        best = max(masks.values(), key=lambda cell: cell["validation"] * (1 if cell["higher_is_better"] else -1))
        mask = f"**{mask}**" if masks[backbone] is best else mask
        mask += "*" if backbone == task else ""
    return f"{mask} / {number(found.get((backbone, 'fine-tune', task)))}"


def number(cell: Cell | None) -> str:
    """Return a number in four digits; - where there is none."""
    return "-" if cell is None else f"{cell['validation']:.4g}"


def made() -> dict[Path, str]:
    """Return the page as the cells beside this script make it."""
    cells = [json.loads(line) for line in (HERE / "cells.jsonl").read_text().splitlines()]
    before, _, after = PAGE.read_text().split(MARK)
    one = cells[0]
    facts = "; ".join(sorted({f"commit {cell['commit']}, {cell['hardware']}, torch {cell['torch']}" for cell in cells}))
    size = f"width {one['width']}, crops of {one['crop']} px, {one['steps']} steps a task, seed {one['seed']}"
    minutes = sum(cell["seconds"] for cell in cells) / 60
    told = f"{size[0].upper()}{size[1:]}; {facts}; {minutes:.0f} minutes for all cells, backbones included, one thread."
    return {PAGE: f"{before}{MARK}\n\n" + "\n".join([*table(cells), "", told]) + f"\n\n{MARK}{after}"}


def main() -> None:
    """Write the table."""
    for path, text in made().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
