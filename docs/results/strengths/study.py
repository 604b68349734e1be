"""Strengths of EWC, rehearsal and PackNet on photographs: three tasks in a row, measured on validation data.

python docs/results/strengths/study.py OUT --data DIR --backbone BUNDLE [--arms ...]

BUNDLE holds the first task, streets, alone: the one that `docs/results/quality/study.py` makes. Each arm then learns
boundaries and colour one after the other, with 250 steps each, at fine-tuning's best rates in that study.
OUT/rows.jsonl grows by a line an arm; an arm that is there is not run again. `report.py` makes the page of it.
"""

import argparse
import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

import stencilnet as sn
from stencilnet.config.reading import read_config, to_plain
from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.experiment.session import Session, learning
from stencilnet.experiment.testing import Tester
from stencilnet.learning.learn import adopt, learn
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.learning.provenance import hardware, provenance
from stencilnet.methods import EWC, Finetune, Method, PackNet, Rehearsal
from stencilnet.models import load

SEED = 100
"""No result is reported with this seed."""
STEPS = 250
FIRST, RATES = "streets", {"boundaries": 2e-3, "colour": 1e-3}
REFERENCE = "fine-tune"
ARMS: dict[str, Method] = {
    REFERENCE: Finetune(),
    **{f"EWC, {strength:g}": EWC(strength=strength) for strength in (0.001, 0.01, 0.1, 1.0)},
    **{f"rehearsal, {strength:g}": Rehearsal(strength=strength) for strength in (0.1, 0.3, 1.0, 3.0)},
    **{f"PackNet, {rate:g}": PackNet(retrain_lr=rate) for rate in (0.1, 1.0)},
}


@cache
def experiment() -> Experiment:
    """Return the config `photos` with this study's steps and rates."""
    read = read_config("photos", [f"seed={SEED}", "methods=[{method: {kind: finetune}}]"])
    plans = [
        replace(plan, recipe=replace(plan.recipe, steps=STEPS, lr=RATES.get(plan.name, plan.recipe.lr)))
        for plan in read.tasks
        if plan.name in {FIRST, *RATES}
    ]
    trainer = replace(read.trainer, precision="float32", samples=0, evaluate_every=STEPS // 2, checkpoint_every=STEPS)
    return replace(read, tasks=tuple(plans), trainer=trainer)


class Study:
    """Learns arms.

    Args:
        root: Where the photographs are.
        out: Where the trainings are written.
        backbone: The bundle of the first task.
    """

    def __init__(self, root: Path, out: Path, backbone: Path) -> None:
        self._root, self._out, self._backbone = root, out, backbone
        self._data = cache(lambda name: open_data(experiment().plan(name), root))
        tasks = {plan.name: plan.task for plan in experiment().tasks}
        self._tester = Tester(experiment=experiment(), tasks=tasks, data=self._validation, root=root)

    def row(self, arm: str) -> dict[str, Any]:
        """Return the headline metric of each task right after it was learned, and of all in the last state."""
        method, net = ARMS[arm], load(self._backbone)
        if method.after_first != "nothing":
            net = adopt(net, method=method, **self._work(FIRST, arm))
        learned = {FIRST: self._score(net, FIRST)}
        for name in RATES:
            net = learn(net, method=method, **self._work(name, arm))
            learned[name] = self._score(net, name)
        where = provenance("cpu")
        return {
            "arm": arm,
            "learned": learned,
            "last": {name: self._score(net, name) for name in net.tasks},
            "commit": where["commit"],
            "hardware": hardware(where),
            "torch": where["torch"],
        }

    def _work(self, name: str, arm: str) -> dict[str, Any]:
        plan, data = experiment().plan(name), self._data(name)
        folder = self._out / arm.replace(", ", "-") / name
        config = learning(experiment(), plan, Session(out=self._out, root=self._root), folder)
        return {"task": plan.task, "data": data, "name": name, "config": replace(config, resume=True)}

    def _validation(self, name: str) -> TaskData:
        return replace(self._data(name), test=self._data(name).validation)

    def _score(self, net: sn.MultiTaskNet, name: str) -> float:
        metric = experiment().plan(name).task.metrics[0].name
        return self._tester.measure(name, self._tester.network(net, name))[metric]


def plan() -> list[dict[str, Any]]:
    """Return what is learned, by arm; nothing is opened or written."""
    whole = experiment()
    return [
        {"arm": arm, "config": to_plain(replace(whole, methods=(MethodPlan(method=method),)))}
        for arm, method in ARMS.items()
    ]


def main() -> None:
    """Learn the arms that are not in the file yet."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("out", type=Path)
    words.add_argument("--data", type=Path, default=Path(), help="where the photographs are")
    words.add_argument("--backbone", type=Path, required=True, help="the bundle of the first task")
    words.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=list(ARMS))
    given = words.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "rows.jsonl"
    done = {json.loads(line)["arm"] for line in file.read_text().splitlines()} if file.exists() else set()
    study = Study(given.data.resolve(), given.out.resolve(), given.backbone)
    for arm in (arm for arm in given.arms if arm not in done):
        row = study.row(arm)
        with file.open("a") as lines:
            lines.write(json.dumps(row, allow_nan=False) + "\n")
        sys.stderr.write(f"{row}\n")


if __name__ == "__main__":
    main()
