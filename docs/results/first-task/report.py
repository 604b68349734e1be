"""Puts the study's table into first-task.md, between its two marks.

python docs/results/first-task/report.py

It reads cells.jsonl beside it: what `study.py` found.
"""

import sys
from pathlib import Path

from study import BACKBONES, TASKS, TRIVIAL

sys.path.append(str(Path(__file__).parents[1]))
from pages import Row, measured_on, put, read, write

HERE = Path(__file__).parent
PAGE = HERE.parent / "first-task.md"
WORDS = {
    "streets": "streets (CamVid): segmentation, the config's own",
    "colour": "colouring of BSDS500",
    "denoise": "denoising of BSDS500, noise of sigma 25",
    "imagenet": "ImageNet (`init: vgg13`)",
    "random": "none: random weights by the seed",
}


def table(cells: list[Row]) -> list[str]:
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


def headline(cells: list[Row], task: str) -> str:
    """Return a task with its metric and the metric's direction."""
    cell = next(cell for cell in cells if cell["task"] == task)
    return f"{task}: {cell['metric']} {'higher' if cell['higher_is_better'] else 'lower'} is better"


def pair(found: dict[tuple[str, str, str], Row], backbone: str, task: str) -> str:
    """Return a mask's number, bold if it is the best one, and fine-tuning's."""
    masks = {name: found[name, "piggyback", task] for name in BACKBONES if (name, "piggyback", task) in found}
    mask = number(masks.get(backbone))
    if backbone in masks:
        best = max(masks.values(), key=lambda cell: cell["validation"] * (1 if cell["higher_is_better"] else -1))
        mask = f"**{mask}**" if masks[backbone] is best else mask
        mask += "*" if backbone == task else ""
    return f"{mask} / {number(found.get((backbone, 'fine-tune', task)))}"


def number(cell: Row | None) -> str:
    """Return a number in four digits; - where there is none."""
    return "-" if cell is None else f"{cell['validation']:.4g}"


def made() -> dict[Path, str]:
    """Return the page as the cells beside this script make it."""
    cells = read(HERE / "cells.jsonl")
    one = cells[0]
    size = f"width {one['width']}, crops of {one['crop']} px, {one['steps']} steps a task, seed {one['seed']}"
    minutes = sum(cell["seconds"] for cell in cells) / 60
    time = f"{minutes:.0f} minutes for all cells, backbones included, one thread"
    told = f"{size[0].upper()}{size[1:]}; {measured_on(cells)}; {time}."
    return {PAGE: put(PAGE.read_text(encoding="utf-8"), "table", [*table(cells), "", told])}


def main() -> None:
    """Write the table."""
    write(made())


if __name__ == "__main__":
    main()
