"""A small study on the embedded demo: quantised deltas beside fine-tuning, scratch and the paper's masks, by rate.

python docs/results/one-bit/study.py OUT [--seeds 2] [--workers 2] [--rates 0.002 0.004] [--arms ...] [--dry-run]

The first task of `demo/small` is trained once, at seed 0. A cell is an arm, a task, a seed and a learning rate of the
recipe, which is that of weights, codes and heads; the paper's masks have a rate of their own, 3e-3, beside it. All that
is reported is measured on validation data, by which the step is selected too: test data are not used.

OUT/cells.jsonl grows by a line a cell, and what is there is not learned again. `report.py` makes the table of it.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from stencilnet.bundle import load, save
from stencilnet.bundle.tensors import encode_delta
from stencilnet.experiment.backbones import make_backbone
from stencilnet.experiment.config import Experiment, MethodPlan, TaskPlan
from stencilnet.experiment.learning import Splits, learn
from stencilnet.experiment.opening import open_data
from stencilnet.experiment.provenance import hardware, provenance
from stencilnet.experiment.reading import read_config, to_plain
from stencilnet.experiment.session import Session, learning
from stencilnet.methods import Finetune, Method, Piggyback, QuantizedDelta, Scratch

ARMS: dict[str, Method] = {
    "fine-tune": Finetune(),
    "scratch": Scratch(),
    "paper's masks": Piggyback(lr=3e-3),
    "quantised delta": QuantizedDelta(),
    "quantised delta, seed": QuantizedDelta(base="seed"),
}
TASKS = ("things", "colour")
METRICS = {"things": ("mIoU", True), "colour": ("MSE_CbCr", False)}
"""What is reported, and whether more is better; colouring's MSE of CbCr is what it is trained on."""

RATES = (2e-3, 4e-3)
STEPS, FIRST_STEPS = 450, 1400
"""Of a task, and of the first task."""

Cell = tuple[str, str, int, float]


def experiment(arm: str, seed: int, rate: float) -> Experiment:
    """Return the config `demo/small` with one arm at a seed, its two tasks at a rate."""
    read = read_config("demo/small", [f"seed={seed}", "trainer.precision=float32", "trainer.samples=0"])
    tasks = [plan for plan in read.tasks if plan is read.tasks[0] or plan.name in TASKS]
    sized = (replace(plan, recipe=replace(plan.recipe, steps=STEPS, lr=rate)) for plan in tasks[1:])
    trainer = replace(read.trainer, evaluate_every=STEPS // 2, checkpoint_every=STEPS)
    methods = (MethodPlan(method=ARMS[arm]),)  # type: ignore[arg-type]
    first = replace(tasks[0], recipe=replace(tasks[0].recipe, steps=FIRST_STEPS))
    return replace(read, tasks=(first, *sized), methods=methods, trainer=trainer)


def wanted(seeds: int, rates: Sequence[float], arms: Sequence[str]) -> Iterator[Cell]:
    """Yield the cells of the study."""
    yield from product(arms, TASKS, range(seeds), rates)


def plan(seeds: int = 2, rates: Sequence[float] = RATES, arms: Sequence[str] = tuple(ARMS)) -> list[dict[str, Any]]:
    """Return the cells as they would be learned; nothing is opened or written."""
    return [
        {
            "arm": arm,
            "task": task,
            "seed": seed,
            "rate": rate,
            "method": {"kind": ARMS[arm].name, **asdict(ARMS[arm])},  # type: ignore[call-overload]
            "config": to_plain(experiment(arm, seed, rate)),
        }
        for arm, task, seed, rate in wanted(seeds, rates, arms)
    ]


def splits(plan: TaskPlan) -> Splits:
    """Return a task's examples; they are drawn by the program."""
    opened = open_data(plan, Path())
    return Splits(train=opened.train, validation=opened.validation)


def backbone_of(out: Path) -> None:
    """Train the first task, once for all cells."""
    bundle, config = out / "backbone", experiment("fine-tune", 0, RATES[0])
    if not bundle.exists():
        first = config.tasks[0]
        how = replace(learning(config, first, Session(out=out, root=Path()), out / "training"), resume=True)
        empty = make_backbone(config.backbone, config.seed)
        save(learn(empty, first.task, splits(first), name=first.name, config=how), bundle)


def cell(wanted: Cell, out: Path) -> dict[str, Any]:
    """Learn a cell, and return its numbers."""
    torch.set_num_threads(1)
    (arm, task, seed, rate), begun = wanted, time.perf_counter()
    config, net = experiment(arm, seed, rate), load(out / "backbone")
    chosen = config.plan(task)
    folder = out / "cells" / f"{arm}-{task}-{seed}-{rate:g}"
    how = replace(learning(config, chosen, Session(out=out, root=Path()), folder), resume=True)
    learned = learn(net, chosen.task, splits(chosen), name=task, method=ARMS[arm], config=how)
    weights = sum(learned.state.shared[name].numel() for name in learned.layout.masked)
    where = provenance("cpu")
    return {
        "arm": arm,
        "task": task,
        "seed": seed,
        "rate": rate,
        "value": learned.records[task].metrics["scores"][METRICS[task][0]],
        "bits": 8 * len(encode_delta(learned.deltas[task])) / weights if arm != "fine-tune" else 32.0,
        "seconds": round(time.perf_counter() - begun, 1),
        "commit": where["commit"],
        "hardware": hardware(where),
        "torch": where["torch"],
    }


def run(given: argparse.Namespace) -> None:
    """Learn all cells that are not in the file yet."""
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    backbone_of(given.out)
    file = given.out / "cells.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(row["arm"], row["task"], row["seed"], row["rate"]) for row in rows}
    left = [cell for cell in wanted(given.seeds, given.rates, given.arms) if cell not in done]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool, file.open("a") as lines:
        for found in as_completed([pool.submit(cell, one, given.out) for one in left]):
            lines.write(json.dumps(found.result(), allow_nan=False) + "\n")
            lines.flush()


def main() -> None:
    """Run the study, or print its cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--dry-run", action="store_true", help="print the cells, a line each, and learn nothing")
    given = parser.parse_args()
    if given.dry_run:
        for planned in plan(given.seeds, given.rates, given.arms):
            print(json.dumps(planned))  # noqa: T201
        return
    run(given)


if __name__ == "__main__":
    main()
