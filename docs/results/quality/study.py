"""The study of masks that lose nothing against fine-tuning: learns every arm's cells, those that are done not again.

python docs/results/quality/study.py PART DATA OUT [--width 32] [--steps 800] [--workers 12] [--seeds 3] [--arms ...]
    [--dry-run]

Two backbones are trained on the config's first task, one with plain norms (`instance`), one with scales and shifts in
them (`affine`). A third, `own`, is the first with scales of 1 and shifts of 0, for tasks to have others. A cell
is an arm, a task, a seed and a number of steps: learned from the backbone, its step selected on validation data. The
parts:

screen  all arms, or those named, on two tasks with one seed
final   the baselines and the screen's best three, or the arms named, on all tasks with all seeds; these alone are
        measured on test data
curve   several prices of zeros, on the screen's tasks, with all seeds
steps   the arms named, on the screen's tasks with one seed, at half, once, twice and four times the steps

OUT/cells.jsonl grows by a line a cell, and what is there is not learned again. `report.py` makes the page of it.
`--dry-run` prints the cells that are left, a JSON object each with its method and whole config, and needs no data.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

import stencilnet as sn
from stencilnet.bundle import load, save
from stencilnet.bundle.tensors import encode_delta
from stencilnet.experiment.backbones import make_backbone
from stencilnet.experiment.config import Experiment
from stencilnet.experiment.learning import Splits, learn
from stencilnet.experiment.opening import TaskData, open_data
from stencilnet.experiment.provenance import hardware, provenance
from stencilnet.experiment.reading import read_config, to_plain
from stencilnet.experiment.session import Session, learning
from stencilnet.experiment.styles import bind_tasks
from stencilnet.experiment.testing import Tester
from stencilnet.masks import NetState
from stencilnet.methods import Decoder, Finetune, HeadOnly, Method, NormOnly, Piggyback, Scratch
from stencilnet.tasks.task import Task
from stencilnet.training.settings import resolve

LR = 3e-3
BASELINES: dict[str, tuple[str, Method]] = {
    "fine-tune": ("instance", Finetune()),
    "scratch": ("instance", Scratch()),
    "decoder": ("instance", Decoder()),
    "head only": ("instance", HeadOnly()),
    "norm only": ("affine", NormOnly()),
    "piggyback (paper)": ("instance", Piggyback(lr=LR)),
}
VARIANTS: dict[str, tuple[str, Method]] = {
    "fine-tune, affine norm": ("affine", Finetune()),
    "binary, lr 1e-3": ("instance", Piggyback(lr=1e-3)),
    "binary, lr 1e-2": ("instance", Piggyback(lr=1e-2)),
    "binary + norm": ("affine", Piggyback(lr=LR, norm=True)),
    "binary + norm, lr 1e-3": ("affine", Piggyback(lr=1e-3, norm=True)),
    "binary + norm, price 0.03": ("affine", Piggyback(lr=LR, norm=True, price=0.03)),
    "binary + norm, price 0.1": ("affine", Piggyback(lr=LR, norm=True, price=0.1)),
    "binary + norm, lr 1e-3, price 0.1": ("affine", Piggyback(lr=1e-3, norm=True, price=0.1)),
    "binary + norm, lr 2e-3, price 0.1": ("affine", Piggyback(lr=2e-3, norm=True, price=0.1)),
    "binary, lr 2e-3, price 0.1": ("instance", Piggyback(lr=2e-3, price=0.1)),
    "binary + own norm, lr 1e-3": ("own", Piggyback(lr=1e-3, norm=True)),
    "binary + own norm, price 0.1": ("own", Piggyback(lr=LR, norm=True, price=0.1)),
    "binary + own norm, lr 1e-3, price 0.1": ("own", Piggyback(lr=1e-3, norm=True, price=0.1)),
    "binary + own norm, lr 1e-3, price 0.03": ("own", Piggyback(lr=1e-3, norm=True, price=0.03)),
    "binary + norm, lr 1e-2, price 0.1": ("affine", Piggyback(lr=1e-2, norm=True, price=0.1)),
}
PRICES: dict[str, tuple[str, Method]] = {
    f"binary, price {price:g}": ("instance", Piggyback(lr=LR, price=price)) for price in (0.003, 0.01, 0.03, 0.1, 1)
}
ARMS = BASELINES | VARIANTS | PRICES
PARTS = ("screen", "final", "curve", "steps")
BACKBONES = ("instance", "affine", "own")
SCREEN = ("colour", "boundaries")
Wanted = tuple[str, str, int, int, bool]  # arm, task, seed, steps, whether on test data too
BEGUN = time.perf_counter()


@cache
def photos(width: int, norm: str) -> Experiment:
    """The config `photos`; its methods, some of which need another norm, give way to the arms."""
    none = "methods=[{method: {kind: piggyback}}]"
    return read_config("photos", [none, f"backbone.width={width}", f"backbone.norm={norm}"])


@cache
def experiment(width: int, steps: int, norm: str, seed: int) -> Experiment:
    """One budget for all tasks, and twice that for the backbone, which has no seed of its own."""
    read = replace(photos(width, norm), seed=seed)
    plans = [
        replace(plan, recipe=replace(plan.recipe, steps=steps * (2 if plan is read.tasks[0] else 1)))
        for plan in read.tasks
    ]
    trainer = replace(read.trainer, precision="float32", samples=0, evaluate_every=max(1, steps // 4))
    return replace(read, tasks=tuple(plans), trainer=replace(trainer, checkpoint_every=10**9))


def norm_of(arm: str) -> str:
    """Return the norm in an arm's config: `own` ones are affine, made of those that were not trained."""
    norm, _ = ARMS[arm]
    return "affine" if norm == "own" else norm


@cache
def data(width: int, steps: int, name: str, root: Path) -> TaskData:
    """A task's examples, opened once a process."""
    return open_data(experiment(width, steps, "instance", 0).plan(name), root)


def backbone_of(width: int, steps: int, norm: str, root: Path, out: Path) -> None:
    """Train a backbone on the first task, and make what style losses look through, once for both of them."""
    torch.set_num_threads(1)
    bundle = out / f"backbone-{norm}"
    if norm == "own" and not bundle.exists():
        save(with_norms(load(out / "backbone-instance")), bundle)
    elif not bundle.exists():
        config = experiment(width, steps, norm, 0)
        plan = config.tasks[0]
        opened = data(width, steps, plan.name, root)
        how = learning(config, plan, Session(out=out, root=root), out / f"training-{norm}")
        splits = Splits(train=opened.train, validation=opened.validation)
        empty = make_backbone(config.backbone, config.seed)
        save(learn(empty, plan.task, splits, name=plan.name, config=replace(how, resume=True)), bundle)
    if norm == "instance":
        tasks_of(width, steps, root, out)


def with_norms(net: sn.MultiTaskNet) -> sn.MultiTaskNet:
    """Return the same functions over a backbone that has scales and shifts, of 1 and 0."""
    backbone = sn.UNet(width=net.backbone.width, channels=1, norm="affine")
    backbone.load_state_dict(net.state.shared, strict=False)  # a norm starts at 1 and 0
    shared = {name: t for name, t in backbone.state_dict().items() if not name.startswith("head.")}
    return sn.MultiTaskNet(backbone).with_state(NetState(shared, net.deltas), net.records)


def tasks_of(width: int, steps: int, root: Path, out: Path) -> dict[str, Task]:
    """All tasks; style losses look through one network, whatever the arm."""
    config, first = experiment(width, steps, "instance", 0), load(out / "backbone-instance")
    images = data(width, steps, config.tasks[0].name, root).train
    return bind_tasks(config, first.backbone, lambda: images, root, out / "perceptual.safetensors")


def cell(wanted: Wanted, width: int, root: Path, out: Path) -> dict[str, Any]:
    """Learn one task by one arm, and measure it."""
    torch.set_num_threads(1)
    arm, name, seed, steps, test = wanted
    norm, method = ARMS[arm]
    config = experiment(width, steps, norm_of(arm), seed)
    opened = data(width, steps, name, root)
    tasks, plan = tasks_of(width, steps, root, out), config.plan(name)
    folder = out / "trainings" / f"{arm.replace(' ', '-')}.{name}.{seed}.{steps}"
    how = replace(learning(config, plan, Session(out=out, root=root), folder), resume=True)
    started = time.perf_counter()
    splits = Splits(train=opened.train, validation=opened.validation)
    net = learn(load(out / f"backbone-{norm}"), tasks[name], splits, name=name, method=method, config=how)
    headline, record = tasks[name].metrics[0], net.records[name]
    tester = Tester(experiment=config, tasks=tasks, data=lambda task: data(width, steps, task, root), root=root)
    tested = tester.measure(name, tester.network(net, name)) if test else {}
    facts = provenance(resolve(how.trainer).device)
    return {
        "arm": arm,
        "task": name,
        "seed": seed,
        "width": width,
        "steps": steps,
        "metric": headline.name,
        "higher_is_better": headline.higher_is_better,
        "validation": record.metrics["scores"][headline.name],
        "selected_step": record.metrics["step"],
        "test": tested,
        "bytes": size_of(net, name, method),
        "weights": sum(net.state.shared[key].numel() for key in net.layout.masked),
        "seconds": round(time.perf_counter() - started, 1),
        "commit": os.environ.get("COMMIT", facts["commit"]),
        "hardware": hardware(facts),
        "torch": facts["torch"],
        "date": facts["date"],
    }


def size_of(net: sn.MultiTaskNet, name: str, method: Method) -> int:
    """What a further task takes on disk; fine-tuning one network for each task takes that network."""
    moved = sum(tensor.nbytes for tensor in net.state.shared.values()) if method.moves_shared else 0
    return len(encode_delta(net.deltas[name])) + moved


def best(cells: list[dict[str, Any]], steps: int, count: int) -> list[str]:
    """Return the variants that come nearest to fine-tuning on the screen's tasks, by validation data."""
    found = {(c["arm"], c["task"]): c for c in cells if (c["seed"], c["steps"]) == (0, steps)}
    scores = {}
    for arm in VARIANTS:
        if arm.startswith("fine-tune") or any((arm, task) not in found for task in SCREEN):
            continue
        ratios = [gain(found[arm, task], found["fine-tune", task]) for task in SCREEN]
        scores[arm] = sum(ratios) / len(ratios)
    return sorted(scores, key=lambda arm: -scores[arm])[:count]


def gain(this: dict[str, Any], that: dict[str, Any], value: str = "validation") -> float:
    """How much better the first is than the second, as a share of it; negative if it is worse."""
    ratio = this[value] / that[value]
    return ratio - 1 if this["higher_is_better"] else 1 - ratio


def say(line: str) -> None:
    """Tell how far the study is."""
    sys.stderr.write(f"[{time.perf_counter() - BEGUN:.0f} s] {line}\n")


def wanted_of(given: argparse.Namespace, cells: list[dict[str, Any]]) -> list[Wanted]:
    """Return the cells of a part of the study."""
    arms, seeds, steps = given.arms, given.seeds, given.steps
    names = [plan.name for plan in experiment(given.width, steps, "instance", 0).tasks[1:]]
    match given.part:
        case "screen":
            return [(arm, task, 0, steps, False) for task in SCREEN for arm in arms or BASELINES | VARIANTS]
        case "final":
            chosen = arms or [*BASELINES, *best(cells, steps, 3)]
            return [(arm, task, seed, steps, True) for seed in range(seeds) for task in names for arm in chosen]
        case "curve":
            chosen = ["fine-tune", "piggyback (paper)", *PRICES]
            return [(arm, task, seed, steps, False) for seed in range(seeds) for task in SCREEN for arm in chosen]
        case _:
            budgets = (steps // 2, steps, 2 * steps, 4 * steps)
            return [(arm, task, 0, count, False) for count in budgets for task in SCREEN for arm in arms]


@cache
def plain(width: int, steps: int, norm: str, seed: int) -> dict[str, Any]:
    """Return a config as plain data; many cells have the same."""
    return to_plain(experiment(width, steps, norm, seed))


def planned(wanted: Wanted, width: int) -> dict[str, Any]:
    """Return a cell as it would be learned: what it is, by which method, and its whole config."""
    arm, task, seed, steps, test = wanted
    norm, method = ARMS[arm]
    return {
        "arm": arm,
        "task": task,
        "seed": seed,
        "width": width,
        "steps": steps,
        "test": test,
        "backbone": norm,
        "method": {"kind": method.name, **asdict(method)},  # type: ignore[call-overload]
        "config": plain(width, steps, norm_of(arm), seed),
    }


def plan() -> list[dict[str, Any]]:
    """Return the cells of all parts, of all arms and at both sizes of the page; nothing is read but the config."""
    found: dict[tuple[Wanted, int], dict[str, Any]] = {}
    for width, steps in ((16, 400), (32, 600)):
        for part in PARTS:
            given = argparse.Namespace(part=part, width=width, steps=steps, seeds=3, arms=list(ARMS))
            found |= {(wanted, width): planned(wanted, width) for wanted in wanted_of(given, [])}
    return list(found.values())


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("part", choices=PARTS)
    words.add_argument("data", type=Path)
    words.add_argument("out", type=Path)
    for name, value in (("width", 32), ("steps", 800), ("workers", 2), ("seeds", 3)):
        words.add_argument(f"--{name}", type=int, default=value)
    words.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=[])
    words.add_argument("--dry-run", action="store_true")
    return words.parse_args()


def main() -> None:
    """Learn what is left to learn."""
    given = asked()
    root, out = given.data.resolve(), given.out.resolve()
    file = out / "cells.jsonl"
    cells = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(c["arm"], c["task"], c["seed"], c["steps"], bool(c["test"])) for c in cells}
    if given.dry_run:
        for key in wanted_of(given, cells):
            if key not in done:
                sys.stdout.write(json.dumps(planned(key, given.width)) + "\n")
        return
    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        for backbone in [pool.submit(backbone_of, given.width, given.steps, norm, root, out) for norm in BACKBONES]:
            backbone.result()
        say("the backbones are there")
        wanted = wanted_of(given, cells)
        left = [pool.submit(cell, key, given.width, root, out) for key in wanted if key not in done]
        for count, future in enumerate(as_completed(left), 1):
            found = future.result()
            with file.open("a") as lines:
                lines.write(json.dumps(found) + "\n")
            shown = (str(found[key]) for key in ("arm", "task", "seed", "steps", "validation", "seconds"))
            say(f"{count}/{len(left)}: {', '.join(shown)}")


if __name__ == "__main__":
    main()
