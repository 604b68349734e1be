"""Puts the study's tables into quality.md and README.md, between their marks, and draws quality against bits.

python docs/results/quality/report.py

It reads demo.jsonl and photos.jsonl beside it: what `study.py` found.
"""

import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from statistics import mean

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from study import ARMS, RATES, SCREEN_SEED, SETTINGS

from stencilnet.analysis.drawing import INK, OTHER_COLOURS, styled, to_svg

sys.path.append(str(Path(__file__).parents[1]))
from pages import Row, measured_on, put, read, write

HERE = Path(__file__).parent
PAGE = HERE.parent / "quality.md"
README = HERE.parents[2] / "README.md"
MARGIN = 1.0
"""In per cent: what counts as no difference. Fixed before anything was measured."""
RESAMPLES = 10_000
SHOWN = ("demo", "photos")
"""Settings with tables and a panel of their own."""
WHOLE = ("fine-tune", "scratch")
"""What takes a whole network a task; the better of them on a task is what arms are measured against."""
OVER = ("quantised delta, 1/2 bit", *(arm for arm in ARMS if arm.startswith("1/2 bit, over ")))
CHOSEN = "1/2 bit, base chosen"
"""For each task the one of `OVER` that the screen, which is of validation data, found best."""
APART = ("edges",)
"""Tasks whose results vary too much between seeds for any claim; they have a table of their own."""
SHOWN_ARMS = (*ARMS, CHOSEN)
IN_README = ("fine-tune", "scratch", "paper's masks", CHOSEN)


def cells(setting: str) -> list[Row]:
    """Return the cells of a setting."""
    return read(HERE / f"{setting}.jsonl")


def shown_cells(setting: str) -> list[Row]:
    """Return the cells of a setting, and those of `CHOSEN` on the tasks that several bases were screened on."""
    rows = cells(setting)
    screened = [row for row in rows if row["seed"] == SCREEN_SEED and row["arm"] in OVER]
    chosen = []
    for task in SETTINGS[setting].tasks:
        own = [row for row in screened if row["task"] == task]
        if len({row["arm"] for row in own}) > 1:
            best = max(own, key=lambda row: sign_of(rows, task) * row["validation"])["arm"]
            tests = [row for row in rows if (row["arm"], row["task"]) == (best, task) and row["test"]]
            chosen += [row | {"arm": CHOSEN} for row in tests]
    return [*rows, *chosen]


def tested(rows: Sequence[Row]) -> dict[tuple[str, str, int], float]:
    """Return what was measured on test data, by arm, task and seed."""
    return {(row["arm"], row["task"], row["seed"]): row["value"] for row in rows if row["test"]}


def tasks_of(setting: str, rows: Sequence[Row]) -> list[str]:
    """Return the tasks of a setting that were measured on test data, in its order, but for those of `APART`."""
    named = {row["task"] for row in rows if row["test"]}.difference(APART)
    return [task for task in SETTINGS[setting].tasks if task in named]


def means(rows: Sequence[Row], arm: str, task: str) -> float | None:
    """Return the mean over seeds; None where the arm was not run."""
    found = [value for (own, name, _), value in tested(rows).items() if (own, name) == (arm, task)]
    return mean(found) if found else None


def sign_of(rows: Sequence[Row], task: str) -> int:
    """Return 1 where more is better, else -1."""
    return 1 if next(row["higher_is_better"] for row in rows if row["task"] == task) else -1


def reference(rows: Sequence[Row], task: str) -> str:
    """Return which of `WHOLE` is better on a task, by its mean."""
    found = {arm: means(rows, arm, task) for arm in WHOLE}
    return max(
        (arm for arm in WHOLE if found[arm] is not None),
        key=lambda arm: sign_of(rows, task) * found[arm],
    )  # type: ignore[operator]


def gains(rows: Sequence[Row], arm: str, task: str) -> npt.NDArray[np.float64]:
    """Return by how many per cent an arm is better than the better whole network, a number a seed that both have."""
    found, usual = tested(rows), reference(rows, task)
    seeds = sorted({seed for own, name, seed in found if (own, name) == (arm, task) and (usual, task, seed) in found})
    ratios = [found[arm, task, seed] / found[usual, task, seed] - 1 for seed in seeds]
    return 100 * sign_of(rows, task) * np.array(ratios)


def interval(samples: Sequence[npt.NDArray[np.float64]]) -> tuple[float, float]:
    """Return the bootstrap's 95 % interval of the mean over tasks of the means over seeds, which are resampled."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice(values, (RESAMPLES, len(values))).mean(axis=1) for values in samples]
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    return float(low), float(high)


def gain_text(samples: Sequence[npt.NDArray[np.float64]]) -> str:
    """Return the mean of the tasks' means, and the interval where there are seeds; the reference has no gain."""
    if not any(values.any() for values in samples):
        return "reference"
    middle = mean(float(values.mean()) for values in samples)
    if min(len(values) for values in samples) < 2:
        return f"{middle:+.1f} %"
    low, high = interval(samples)
    return f"{middle:+.1f} % ({low:+.1f} to {high:+.1f})"


def bits(rows: Sequence[Row], arm: str) -> str:
    """Return bits on disk a weight of the backbone, head and header included."""
    shown = [row for row in rows if row["arm"] == arm and row["test"] and row["task"] not in APART]
    found = [8 * row["bytes"] / row["weights"] for row in shown]
    return f"{mean(found):.2f}" if found else "-"


def final(setting: str) -> list[str]:
    """Return the table of test data: every arm, its tasks, the gain over the better whole network, and bits."""
    rows = shown_cells(setting)
    tasks = tasks_of(setting, rows)
    if not tasks:
        return ["Not run."]
    heads = " | ".join(f"{task}, {metric_of(rows, task)} | gain" for task in tasks)
    lines = [
        f"| arm | bits a weight | seeds | {heads} | all tasks |",
        "| :--- | ---: | ---: |" + " ---: | ---: |" * len(tasks) + " ---: |",
    ]
    for arm in SHOWN_ARMS:
        if all(means(rows, arm, task) is None for task in tasks):
            continue
        samples = {task: gains(rows, arm, task) for task in tasks if means(rows, arm, task) is not None}
        shown = [
            f"{means(rows, arm, task):.4g} | {gain_text([samples[task]])}" if task in samples else "- | -"
            for task in tasks
        ]
        overall = gain_text(list(samples.values())) if len(samples) == len(tasks) else "-"
        lines.append(f"| {arm} | {bits(rows, arm)} | {_seeds(rows, arm)} | {' | '.join(shown)} | {overall} |")
    return [*lines, "", origin(setting, [row for row in cells(setting) if row["test"] and row["task"] in tasks])]


def _seeds(rows: Sequence[Row], arm: str) -> str:
    """Return how many seeds an arm was tested with, the least and the most of a task if they differ."""
    seeds = [
        [task for own, task, _ in tested(rows) if own == arm].count(task) for task in tasks_of(rows[0]["setting"], rows)
    ]
    least, most = min(filter(None, seeds)), max(seeds)
    return f"{least}" if least == most else f"{least} to {most}"


def apart() -> list[str]:
    """Return test data of the tasks of `APART`: the mean of the seeds, and the least and most of them."""
    rows = [row for row in cells("photos") if row["task"] in APART and row["test"]]
    if not rows:
        return ["Not run."]
    tasks = [task for task in APART if any(row["task"] == task for row in rows)]
    heads = " | ".join(f"{task}, {metric_of(rows, task)} | least to most" for task in tasks)
    lines = [f"| arm | seeds | {heads} |", "| :--- | ---: |" + " ---: | ---: |" * len(tasks)]
    for arm in [arm for arm in ARMS if any(row["arm"] == arm for row in rows)]:
        own = {task: [row["value"] for row in rows if (row["arm"], row["task"]) == (arm, task)] for task in tasks}
        shown = [f"{mean(values):.4g} | {min(values):.4g} to {max(values):.4g}" for values in own.values()]
        lines.append(f"| {arm} | {max(map(len, own.values()))} | {' | '.join(shown)} |")
    return [*lines, "", origin("photos", rows)]


def screen(setting: str) -> list[str]:
    """Return the screen: validation data of one seed, a column a task and rate, the best rate of an arm in bold."""
    rows = [row for row in cells(setting) if row["seed"] == SCREEN_SEED]
    if not rows:
        return ["Not run."]
    tasks = [task for task in SETTINGS[setting].tasks if any(row["task"] == task for row in rows)]
    rates = sorted({row["rate"] for row in rows})
    heads = " | ".join(f"{task}, {rate:g}" for task in tasks for rate in rates)
    lines = [f"| arm | {heads} |", "| :--- |" + " ---: |" * (len(tasks) * len(rates))]
    for arm in ARMS:
        found = {(row["task"], row["rate"]): row["validation"] for row in rows if row["arm"] == arm}
        if found:
            lines.append(f"| {arm} | {' | '.join(_screened(found, rows, task, rates) for task in tasks)} |")
    return [*lines, "", origin(setting, rows)]


def _screened(
    found: dict[tuple[str, float], float],
    rows: Sequence[Row],
    task: str,
    rates: Sequence[float],
) -> str:
    own = {rate: value for (name, rate), value in found.items() if name == task}
    best = max(own, key=lambda rate: sign_of(rows, task) * own[rate], default=None)
    texts = {rate: f"{value:.4g}" for rate, value in own.items()}
    return " | ".join(f"**{texts[rate]}**" if rate == best else texts.get(rate, "-") for rate in rates)


def by_steps(setting: str) -> list[str]:
    """Return validation data of the first seed by the number of steps, a column a task and number, as far as run."""
    rows = [row for row in cells(setting) if row["seed"] == 0 and not row["test"]]
    tasks = [task for task in SETTINGS[setting].tasks if any(row["task"] == task for row in rows)]
    columns = [(task, steps) for task in tasks for steps in sorted({r["steps"] for r in rows if r["task"] == task})]
    found = {(row["arm"], row["task"], row["steps"]): f"{row['validation']:.4g}" for row in rows}
    heads = " | ".join(f"{task}, {steps} steps, {metric_of(rows, task)}" for task, steps in columns)
    lines = [
        f"| {arm} | {' | '.join(found.get((arm, *column), '-') for column in columns)} |"
        for arm in ARMS
        if any(own == arm for own, *_ in found)
    ]
    return [f"| arm | {heads} |", "| :--- |" + " ---: |" * len(columns), *lines, "", f"<sub>{measured_on(rows)}.</sub>"]


def another_backbone() -> list[str]:
    """Return test data over two backbones, at the seeds that both have: a row an arm, two columns a task."""
    first, second = cells("demo"), cells("demo-again")
    both = sorted(set(tested(first)) & set(tested(second)))
    if not both:
        return ["Not run."]
    tasks = tasks_of("demo-again", second)
    heads = " | ".join(f"{task}, {metric_of(first, task)} | over another backbone" for task in tasks)
    lines = [f"| arm | {heads} |", "| :--- |" + " ---: |" * (2 * len(tasks))]
    for arm in [arm for arm in ARMS if any(own == arm for own, *_ in both)]:
        shown = [
            f"{mean(tested(rows)[cell] for cell in both if cell[:2] == (arm, task)):.4g}"
            for task in tasks
            for rows in (first, second)
        ]
        lines.append(f"| {arm} | {' | '.join(shown)} |")
    seeds = sorted({seed for *_, seed in both})
    used = [row for row in (*first, *second) if row["test"] and (row["arm"], row["task"], row["seed"]) in both]
    return [*lines, "", f"<sub>Seeds {', '.join(map(str, seeds))}. {measured_on(used)}.</sub>"]


def compute() -> Figure:
    """Draw validation data of the first seed against the number of steps, an arm a line, a task a panel.

    All arms train the same network, so that steps stand for compute.
    """
    rows = [row for row in cells("demo") if row["seed"] == 0 and not row["test"]]
    tasks = [task for task in SETTINGS["demo"].tasks if any(row["task"] == task for row in rows)]
    with styled():
        figure = Figure(figsize=(4.2 * len(tasks) + 2.4, 3.8), layout="constrained")
        panels = figure.subplots(1, max(1, len(tasks)), squeeze=False)[0]
        for axes, task in zip(panels, tasks, strict=False):
            markers = cycle("os^vD*PX<>hp")
            for arm in ARMS:
                marker = next(markers)
                found = sorted((r["steps"], r["validation"]) for r in rows if (r["arm"], r["task"]) == (arm, task))
                if found:
                    colour = ARMS[arm](RATES[0]).colour or OTHER_COLOURS[0]
                    label = arm if axes is panels[0] else None
                    axes.plot(*zip(*found, strict=True), marker=marker, color=colour, label=label)
            axes.set_xscale("log", base=2)
            axes.set_xticks(sorted({row["steps"] for row in rows}))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_xlabel("steps")
            axes.set_title(f"{task}, {metric_of(rows, task)}")
        figure.legend(loc="outside right upper", fontsize="small")
    return figure


def metric_of(rows: Sequence[Row], task: str) -> str:
    """Return the metric's name, and which way is better."""
    row = next(row for row in rows if row["task"] == task)
    return f"{row['metric'].replace('_', ' ')} {'↑' if row['higher_is_better'] else '↓'}"


def origin(setting: str, rows: Sequence[Row]) -> str:
    """Return what stands below numbers."""
    chosen = SETTINGS[setting]
    seeds = sorted({row["seed"] for row in rows})
    hours = sum(row["seconds"] for row in rows) / 3600
    return (
        f"<sub>Config `{chosen.config}`, width 16, {chosen.first} steps for the first task, {chosen.steps} for each "
        f"other; seeds {', '.join(map(str, seeds))}. {measured_on(rows)}; "
        f"{hours:.1f} hours of training and testing in all, one thread a process.</sub>"
    )


def beside() -> list[str]:
    """Return README's table: four arms on all tasks, test data."""
    lines = [
        f"| task | metric | {' | '.join(IN_README)} |",
        "| --- | --- |" + " ---: |" * len(IN_README),
    ]
    found = {setting: shown_cells(setting) for setting in SHOWN}
    for setting, rows in found.items():
        for task in tasks_of(setting, rows):
            if any(means(rows, arm, task) is not None for arm in IN_README):
                shown = [_beside(rows, arm, task) for arm in IN_README]
                lines.append(f"| {task} ({setting}) | {metric_of(rows, task)} | {' | '.join(shown)} |")
    rows = [row for own in found.values() for row in own]
    sizes = " | ".join(bits(rows, arm) for arm in IN_README)
    notes = [origin(s, [row for row in cells(s) if row["test"] and row["task"] not in APART]) for s in SHOWN]
    return [*lines, f"| bits a weight, head included | ↓ | {sizes} |", "", *notes]


def _beside(rows: Sequence[Row], arm: str, task: str) -> str:
    value = means(rows, arm, task)
    if value is None:
        return "-"
    return f"{value:.4g}" if arm in WHOLE else f"{value:.4g}, {gain_text([gains(rows, arm, task)])}"


def pareto() -> Figure:
    """Draw the mean gain over the better whole network against bits, an arm a marker, a setting a panel."""
    held = {setting: rows for setting in SHOWN if tested(rows := shown_cells(setting))}
    with styled():
        figure = Figure(figsize=(4.6 * len(held) + 2.4, 4.4), layout="constrained")
        panels = figure.subplots(1, max(1, len(held)), squeeze=False)[0]
        for axes, (setting, rows) in zip(panels, held.items(), strict=False):
            markers = cycle("os^vD*PX<>hp")
            for arm in SHOWN_ARMS:
                marker = next(markers)
                samples = [gains(rows, arm, task) for task in tasks_of(setting, rows)]
                if all(len(values) for values in samples):
                    method = ARMS.get(arm, ARMS[OVER[0]])(RATES[0])
                    middle = mean(float(values.mean()) for values in samples)
                    low, high = interval(samples)
                    axes.errorbar(
                        [float(bits(rows, arm))],
                        [middle],
                        yerr=[[max(0, middle - low)], [max(0, high - middle)]],
                        marker=marker,
                        color=method.colour or OTHER_COLOURS[0],
                        label=arm if axes is panels[0] else None,
                        capsize=3,
                        linestyle="none",
                    )
            axes.axhspan(-MARGIN, MARGIN, color=INK, alpha=0.08, linewidth=0)
            axes.axhline(0, color=INK, linewidth=1)
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_xlabel("bits a weight on disk, a further task")
            axes.set_title(setting)
        panels[0].set_ylabel("gain over the better of fine-tune and scratch, %")
        figure.legend(loc="outside right upper", fontsize="small")
    return figure


def made() -> dict[Path, str]:
    """Return page, plot and README as the cells beside this script make them."""
    page = PAGE.read_text(encoding="utf-8")
    for setting in SHOWN:
        page = put(page, f"{setting} final", final(setting))
        page = put(page, f"{setting} screen", screen(setting))
    page = put(page, "edges", apart())
    page = put(page, "demo steps", by_steps("demo"))
    page = put(page, "another backbone", another_backbone())
    return {
        PAGE: page,
        README: put(README.read_text(encoding="utf-8"), "quality", beside()),
        HERE / "pareto.svg": to_svg(pareto()),
        HERE / "compute.svg": to_svg(compute()),
    }


def main() -> None:
    """Write page, plot and README's table."""
    write(made())


if __name__ == "__main__":
    main()
