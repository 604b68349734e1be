"""Quality at a number of bits: quantised deltas and masks beside fine-tuning and networks of their own.

python docs/results/quality/study.py screen|final|steps demo|demo-again|photos OUT [--data DIR] [--seeds 5]
    [--workers 2] [--arms ...] [--tasks ...] [--rates ...] [--dry-run]

A cell is an arm, a task, a seed, a number of steps and a learning rate, which is that of weights, codes, scores and
heads alike. All cells of a setting start from one backbone, which is trained on the first task of the config.

screen  all arms, or those named, at all rates, at one seed that is reported nowhere else; on validation data
final   the same arms on the seeds that are reported, each at the rate that the screen found best for it and the task;
        the step is selected on validation data, and what is reported is measured on test data
        (setting `demo-again`: over another backbone, at the rates that the screen of `demo` found)
steps   the arms named at a quarter to four times the steps, first seed; on validation data

OUT/cells.jsonl grows by a line a cell, and what is there is not learned again. `report.py` makes the page of it.
`--dry-run` prints the cells that are left, a JSON object each with its method and whole config, and needs no data.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

import stencilnet as sn
from stencilnet.bundle.tensors import encode_delta
from stencilnet.config.reading import read_config, to_plain
from stencilnet.config.schema import Experiment
from stencilnet.experiment.session import Session, learning
from stencilnet.experiment.testing import Tester
from stencilnet.learning.backbones import make_backbone
from stencilnet.learning.learn import learn
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.learning.provenance import hardware, provenance
from stencilnet.learning.styles import bind_tasks
from stencilnet.masks import NetState
from stencilnet.methods import Decoder, Finetune, Method, Piggyback, QuantizedDelta, Scratch
from stencilnet.models import load, save
from stencilnet.tasks.task import Task


@dataclass(frozen=True)
class Setting:
    """What the cells of one page have in common.

    Attributes:
        config: A shipped config, of which the data, views and tasks are taken.
        tasks: Those that are compared.
        steps: Of each.
        first: Steps of the first task.
        seed: Of the backbone.
        screened: The setting whose screen, in the file beside this script, says which rates are the best; if empty,
            this one's own in OUT.
    """

    config: str
    tasks: tuple[str, ...]
    steps: int
    first: int
    seed: int = 0
    screened: str = ""


DEMO = Setting("demo/small", ("things", "colour"), steps=450, first=1400)
SETTINGS = {
    "demo": DEMO,
    "demo-again": replace(DEMO, seed=1, screened="demo"),
    "photos": Setting("photos", ("boundaries", "colour", "starry-night", "edges"), steps=250, first=700),
}
HALVED = "fine-tune, weights halved"
"""Whether trained weights are too large for the rates: a convolution that a norm follows may be scaled freely."""
NARROW = "narrow network, 8 bits"
NARROW_WIDTH = 4
"""At which a network of its own, rounded to 8 bits, takes as many bytes as half a bit a weight of width 16."""
ARMS: dict[str, Callable[[float], Method]] = {
    "fine-tune": lambda _: Finetune(),
    HALVED: lambda _: Finetune(),
    "scratch": lambda _: Scratch(),
    "decoder": lambda _: Decoder(),
    NARROW: lambda _: Scratch(),
    "paper's masks": lambda rate: Piggyback(lr=rate),
    "masks, start by weight": lambda rate: Piggyback(lr=rate, start="weight"),
    "quantised delta, 1 bit": lambda _: QuantizedDelta(target=0.98),
    "quantised delta, 1/2 bit": lambda _: QuantizedDelta(target=0.48),
    "quantised delta, 1/4 bit": lambda _: QuantizedDelta(target=0.23),
    "1 bit, all layers alike": lambda _: QuantizedDelta(target=0.98, sensitivity=0.0),
    "1/2 bit, over a seed": lambda _: QuantizedDelta(target=0.48, base="seed", base_seed=1),
    **{
        f"1/2 bit, over seed {number}": lambda _, number=number: QuantizedDelta(
            target=0.48, base="seed", base_seed=number
        )
        for number in (2, 3, 4)
    },
    "1 bit, over a seed": lambda _: QuantizedDelta(target=0.98, base="seed", base_seed=1),
}
RATES = (2e-3, 4e-3, 8e-3, 1.6e-2)
SCREEN_SEED = 100
PARTS = ("screen", "final", "steps")


class Cell(NamedTuple):
    """What is learned once."""

    setting: str
    arm: str
    task: str
    seed: int
    steps: int
    rate: float
    test: bool

    @property
    def method(self) -> Method:
        """What it is learned by."""
        return ARMS[self.arm](self.rate)

    def folder(self, out: Path) -> Path:
        """Return where its files are: those of its training, and its bundle."""
        return out / "cells" / "-".join(str(part) for part in self[1:]).replace("/", "_")


@cache
def experiment(setting: str, arm: str, seed: int, steps: int, rate: float) -> Experiment:
    """Return a setting's config with its tasks at a seed, a rate and a number of steps."""
    chosen = SETTINGS[setting]
    sized = {"width": NARROW_WIDTH, "stored": "int8"} if arm == NARROW else {"width": 16}
    read = read_config(
        chosen.config,
        [
            f"seed={seed}",
            "methods=[{method: {kind: quantized_delta}}]",
            "backbone={" + ", ".join(f"{key}: {value}" for key, value in sized.items()) + "}",
        ],
    )
    first, *rest = (plan for plan in read.tasks if plan is read.tasks[0] or plan.name in chosen.tasks)
    further = (replace(plan, recipe=replace(plan.recipe, steps=steps, lr=rate)) for plan in rest)
    trainer = replace(
        read.trainer, precision="float32", samples=0, evaluate_every=max(1, steps // 2), checkpoint_every=steps
    )
    first = replace(first, recipe=replace(first.recipe, steps=chosen.first))
    return replace(read, tasks=(first, *further), trainer=trainer)


def base(setting: str) -> Experiment:
    """Return the config that the backbone is trained by, and tasks are opened by."""
    chosen = SETTINGS[setting]
    return experiment(setting, "fine-tune", chosen.seed, chosen.steps, RATES[0])


def planned(cell: Cell) -> dict[str, Any]:
    """Return a cell as it would be learned: what it is, by which method, and its whole config."""
    config = experiment(cell.setting, cell.arm, cell.seed, cell.steps, cell.rate)
    method = {"kind": cell.method.name, **asdict(cell.method)}  # type: ignore[call-overload]
    return {**cell._asdict(), "method": method, "config": to_plain(config)}


@cache
def data(setting: str, name: str, root: Path) -> TaskData:
    """Return a task's examples, opened once a process."""
    return open_data(base(setting).plan(name), root)


def backbone_of(setting: str, root: Path, out: Path) -> None:
    """Train the first task, and make what style losses look through, once for all cells."""
    torch.set_num_threads(1)
    bundle, config = out / "backbone", base(setting)
    if not bundle.exists():
        plan = config.tasks[0]
        how = replace(learning(config, plan, Session(out=out, root=root), out / "training"), resume=True)
        empty = make_backbone(config.backbone, config.seed)
        save(learn(empty, plan.task, data(setting, plan.name, root), name=plan.name, config=how), bundle)
    tasks_of(setting, root, out)


def tasks_of(setting: str, root: Path, out: Path) -> dict[str, Task]:
    """Return all tasks; style losses look through one network, whatever the arm."""
    config = base(setting)
    images = data(setting, config.tasks[0].name, root).train
    backbone = load(out / "backbone").backbone
    return bind_tasks(config, backbone, lambda: images, root, out / "perceptual.safetensors")


def learned(cell: Cell, root: Path, out: Path) -> dict[str, Any]:
    """Learn a cell and measure it."""
    torch.set_num_threads(1)
    config = experiment(cell.setting, cell.arm, cell.seed, cell.steps, cell.rate)
    tasks, plan, begun = (tasks_of(cell.setting, root, out), config.plan(cell.task), time.perf_counter())
    task = tasks[cell.task]
    folder = cell.folder(out)
    how = replace(learning(config, plan, Session(out=out, root=root), folder), resume=True)
    start = start_of(cell, config, out)
    net = learn(start, task, data(cell.setting, cell.task, root), name=cell.task, method=cell.method, config=how)
    if not (folder / "bundle").exists():  # for zeros/study.py, which looks at masks
        save(net, folder / "bundle")
    tester = Tester(experiment=config, tasks=tasks, data=lambda name: data(cell.setting, name, root), root=root)
    metric, where = task.metrics[0], provenance("cpu")
    return {
        **cell._asdict(),
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "validation": net.records[cell.task].metrics["scores"][metric.name],
        "value": tester.measure(cell.task, tester.network(net, cell.task))[metric.name] if cell.test else None,
        "bytes": size_of(net, cell, folder),
        "weights": sum(load(out / "backbone").state.shared[key].numel() for key in net.layout.masked),
        "seconds": round(time.perf_counter() - begun, 1),
        "commit": where["commit"],
        "hardware": hardware(where),
        "torch": where["torch"],
    }


def start_of(cell: Cell, config: Experiment, out: Path) -> sn.MultiTaskNet:
    """Return what an arm's training starts from."""
    if cell.arm == NARROW:
        return make_backbone(config.backbone, cell.seed)
    net = load(out / "backbone")
    if cell.arm != HALVED:
        return net
    halved = {n: t / 2 if n.startswith("conv") and n.endswith("weight") else t for n, t in net.state.shared.items()}
    return net.with_state(NetState(halved, net.deltas), net.records)


def size_of(net: sn.MultiTaskNet, cell: Cell, folder: Path) -> int:
    """Return what one more such task takes on disk; fine-tuning one network for each task takes that network."""
    if cell.arm == NARROW:
        return sum(file.stat().st_size for file in (folder / "bundle").rglob("*.safetensors"))
    moved = sum(tensor.nbytes for tensor in net.state.shared.values()) if cell.method.moves_shared else 0
    return len(encode_delta(net.deltas[cell.task])) + moved


def best_rate(cells: Sequence[dict[str, Any]], setting: str, arm: str, task: str) -> float:
    """Return the rate that the screen found best.

    Raises:
        ValueError: If it has none, and the screen has not been run for this arm and task.
    """
    found = [
        cell
        for cell in cells
        if (cell["setting"], cell["arm"], cell["task"], cell["seed"]) == (setting, arm, task, SCREEN_SEED)
    ]
    if not found:
        raise ValueError(f"Expected a screened rate of {arm!r} on {task!r}. Run the part `screen` first.")
    chosen: float = max(found, key=lambda cell: cell["validation"] * (1 if cell["higher_is_better"] else -1))["rate"]
    return chosen


def read(file: Path) -> list[dict[str, Any]]:
    """Return the cells of a file; none where it is missing."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def wanted_of(given: argparse.Namespace, cells: Sequence[dict[str, Any]]) -> list[Cell]:
    """Return the cells of a part."""
    chosen = SETTINGS[given.setting]
    pairs = [(arm, task) for task in given.tasks or chosen.tasks for arm in given.arms or ARMS]
    if given.part == "screen":
        return [
            Cell(given.setting, arm, task, SCREEN_SEED, chosen.steps, rate, False)
            for arm, task in pairs
            for rate in given.rates
        ]
    screen = chosen.screened or given.setting
    known = [*cells, *read(Path(__file__).with_name(f"{screen}.jsonl"))] if chosen.screened else cells
    rates = {pair: best_rate(known, screen, *pair) for pair in pairs}
    if given.part == "final":
        return [
            Cell(given.setting, *pair, seed, chosen.steps, rates[pair], True)
            for seed in range(given.seeds)
            for pair in pairs
        ]
    budgets = [chosen.steps // 4, chosen.steps, 4 * chosen.steps]
    return [Cell(given.setting, *pair, 0, steps, rates[pair], False) for steps in budgets for pair in pairs]


def plan() -> list[dict[str, Any]]:
    """Return the cells of all parts as they would be learned, each at one rate; nothing is opened or written."""
    screened = [
        {"setting": setting, "arm": arm, "task": task, "seed": SCREEN_SEED, "rate": RATES[0]}
        | {"validation": 1.0, "higher_is_better": True}
        for setting, chosen in SETTINGS.items()
        for arm in ARMS
        for task in chosen.tasks
    ]
    parts = [
        argparse.Namespace(part=part, setting=setting, arms=[], tasks=[], seeds=1, rates=RATES[:1])
        for part in PARTS
        for setting in SETTINGS
    ]
    return [planned(cell) for part in parts for cell in wanted_of(part, screened)]


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("part", choices=PARTS)
    words.add_argument("setting", choices=tuple(SETTINGS))
    words.add_argument("out", type=Path)
    words.add_argument("--data", type=Path, default=Path(), help="where the photographs are")
    words.add_argument("--seeds", type=int, default=5)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    words.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=[])
    words.add_argument("--tasks", nargs="+", default=[], help="of the setting's; all, if none is named")
    words.add_argument("--dry-run", action="store_true", help="print the cells that are left, and learn nothing")
    return words.parse_args()


def main() -> None:
    """Learn the cells that are not in the file yet."""
    given = asked()
    root, out = given.data.resolve(), given.out.resolve()
    file = out / "cells.jsonl"
    rows = read(file)
    done = {Cell(*(row[name] for name in Cell._fields)) for row in rows}
    left = [cell for cell in wanted_of(given, rows) if cell not in done]
    if given.dry_run:
        for cell in left:
            sys.stdout.write(json.dumps(planned(cell)) + "\n")
        return
    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        pool.submit(backbone_of, given.setting, root, out).result()
        for count, found in enumerate(as_completed([pool.submit(learned, cell, root, out) for cell in left]), 1):
            row = found.result()
            with file.open("a") as lines:
                lines.write(json.dumps(row, allow_nan=False) + "\n")
            shown = (row[key] for key in ("arm", "task", "seed", "steps", "rate", "validation", "value", "seconds"))
            sys.stderr.write(f"{count}/{len(left)}: {', '.join(map(str, shown))}\n")


if __name__ == "__main__":
    main()
