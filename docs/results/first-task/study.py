"""Does the first task matter? Learns the same tasks over backbones of several first tasks, and over none at all.

python docs/results/first-task/study.py DATA OUT [--width 16] [--crop 96] [--steps 300] [--seed 0] [--dry-run]

A backbone is trained on a first task, by twice the steps, and frozen; `random` is drawn by the seed and never trained.
A cell is a backbone, a method and a task: learned from the backbone, its step selected on validation data. Masks come
first, then scratch, which has no backbone, then fine-tuning. OUT/cells.jsonl grows by a line a cell, and what is there
is not learned again. `report.py` makes the page of it. `--dry-run` prints the cells that are left, a JSON object each
with its method and whole config, and needs no data.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from stencilnet.config.reading import read_config, to_plain
from stencilnet.config.schema import Experiment, MethodPlan, TaskPlan
from stencilnet.data.damage import Noise
from stencilnet.data.samples import EvaluationSamples
from stencilnet.evaluation.evaluate import evaluate
from stencilnet.experiment.session import Session, learning
from stencilnet.learning.backbones import make_backbone
from stencilnet.learning.learn import learn
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.learning.provenance import hardware, provenance
from stencilnet.learning.styles import bind_tasks
from stencilnet.methods import Finetune, Method, Piggyback, Scratch
from stencilnet.models import load, save
from stencilnet.tasks.restoration import Restoration
from stencilnet.tasks.task import Task
from stencilnet.training.settings import resolve

BACKBONES = ("streets", "colour", "denoise", "random")
TASKS = ("boundaries", "colour", "starry-night")
METHODS: dict[str, Method] = {"piggyback": Piggyback(lr=3e-3), "scratch": Scratch(), "fine-tune": Finetune()}
TRIVIAL = "trivial"
FITTING = 200
"""Training examples that a trivial baseline is fitted to, at most."""
BEGUN = time.perf_counter()


class Study:
    """The study's parts at one size.

    Args:
        given: What was asked for on the command line.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.root: Path = given.data.resolve()
        self.out: Path = given.out.resolve()
        self.steps, self.width, self.crop, self.seed = given.steps, given.width, given.crop, given.seed
        read = read_config("photos", [f"backbone.width={self.width}", f"seed={self.seed}"])
        steps = max(1, self.steps // 4)
        trainer = replace(read.trainer, precision="float32", samples=0, evaluate_every=steps, checkpoint_every=10**9)
        self.experiment: Experiment = replace(read, trainer=trainer)
        self._opened: dict[str, TaskData] = {}

    def plan(self, name: str) -> TaskPlan:
        """Return a task of the config at the study's size; `denoise` is made of its photographs."""
        if name != "denoise":
            plan = self.experiment.plan(name)
            view, recipe = replace(plan.view, crop=self.crop), replace(plan.recipe, steps=self.steps)
            return replace(plan, view=view, recipe=recipe)
        colour = self.plan("colour")
        data = replace(colour.data, drop_gray=False)
        return replace(
            colour,
            name=name,
            title=name,
            task=Restoration(residual=True),
            data=data,
            view=replace(colour.view, damage=Noise()),
        )

    def planned(self, backbone: str, method: str, name: str) -> dict[str, Any]:
        """Return a cell as it would be learned: what it is, by which method, and its whole config."""
        tasks = tuple(self.plan(task) for task in dict.fromkeys((*self._firsts(backbone), name)))
        known = METHODS.get(method)
        methods = self.experiment.methods[:1] if known is None else (MethodPlan(method=known),)
        return {
            "backbone": backbone,
            "method": None if known is None else {"kind": known.name, **asdict(known)},  # type: ignore[call-overload]
            "task": name,
            "named": method,
            "config": to_plain(replace(self.experiment, tasks=tasks, methods=methods)),
        }

    @staticmethod
    def _firsts(backbone: str) -> tuple[str, ...]:
        """Return the task that a backbone is trained on; style losses look through that of streets, whatever it is."""
        return ("streets",) if backbone in ("-", "random") else (backbone,)

    def data(self, name: str) -> TaskData:
        """Return a task's examples, opened once."""
        if name not in self._opened:
            self._opened[name] = open_data(self.plan(name), self.root)
        return self._opened[name]

    def backbone(self, name: str) -> Path:
        """Return the bundle of a backbone, trained if it is not there. Its own task goes by the name `first`."""
        bundle = self.out / f"backbone-{name}"
        if not bundle.exists():
            # An untrained network holds a head, too: of streets, learned for a step over weights that stay.
            plan, steps = (self.plan("streets"), 1) if name == "random" else (self.plan(name), 2 * self.steps)
            plan = replace(plan, recipe=replace(plan.recipe, steps=steps))
            how = learning(self.experiment, plan, self.session, self.out / f"training-{name}")
            how = replace(how, resume=True, backbone="frozen" if name == "random" else "fresh")
            empty = make_backbone(self.experiment.backbone, self.seed)
            save(learn(empty, plan.task, self.data(plan.name), name="first", config=how), bundle)
        return bundle

    @property
    def session(self) -> Session:
        """Return where the study is."""
        return Session(out=self.out, root=self.root)

    @cache  # noqa: B019 (one study a process)
    def tasks(self) -> dict[str, Task]:
        """Return the tasks; style losses look through one network, made of the backbone of streets, in every cell."""
        first = load(self.backbone("streets")).backbone
        kept = self.out / "perceptual.safetensors"
        return bind_tasks(self.experiment, first, lambda: self.data("streets").train, self.root, kept)

    def cell(self, backbone: str, method: str, name: str) -> dict[str, Any]:
        """Learn one task from one backbone, and measure it on validation data."""
        started = time.perf_counter()
        task, plan = self.tasks()[name], self.plan(name)
        if method == TRIVIAL:
            scores, step = self.trivial(name), None
        else:
            folder = self.out / "trainings" / f"{backbone}.{method}.{name}"
            how = replace(learning(self.experiment, plan, self.session, folder), resume=True)
            net = load(self.backbone("streets" if method == "scratch" else backbone))
            net = learn(net, task, self.data(name), name=name, method=METHODS[method], config=how)
            scores, step = net.records[name].metrics["scores"], net.records[name].metrics["step"]
        facts = provenance(resolve(self.experiment.trainer).device)
        headline = task.metrics[0]
        return {
            "backbone": backbone,
            "method": method,
            "task": name,
            "metric": headline.name,
            "higher_is_better": headline.higher_is_better,
            "validation": scores[headline.name],
            "scores": scores,
            "selected_step": step,
            "seed": self.seed,
            "width": self.width,
            "crop": self.crop,
            "steps": self.steps,
            "seconds": round(time.perf_counter() - started, 1),
            "commit": os.environ.get("COMMIT", facts["commit"]),
            "hardware": hardware(facts),
            "torch": facts["torch"],
            "date": facts["date"],
        }

    def trivial(self, name: str) -> dict[str, float]:
        """Measure a task's trivial baseline on the validation data that cells are selected by."""
        task, view = self.tasks()[name], self.plan(name).view
        training = EvaluationSamples(self.data(name).train, view, task, whole=False)
        fitted = task.baseline(task.prepare(training[index]) for index in range(min(FITTING, len(training))))
        return evaluate(fitted, task, EvaluationSamples(self.data(name).validation, view, task, whole=False))


def wanted() -> list[tuple[str, str, str]]:
    """Return backbone, method and task of every cell, in the order of learning."""
    return [
        *(("-", TRIVIAL, task) for task in TASKS),
        *((backbone, "piggyback", task) for task in TASKS for backbone in BACKBONES),
        *(("-", "scratch", task) for task in TASKS),
        *((backbone, "fine-tune", task) for task in TASKS for backbone in BACKBONES),
    ]


def plan() -> list[dict[str, Any]]:
    """Return every cell, at the size of the page; nothing is read but the config."""
    study = Study(argparse.Namespace(data=Path(), out=Path(), width=8, crop=64, steps=500, seed=0))
    return [study.planned(*key) for key in wanted()]


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("data", type=Path)
    words.add_argument("out", type=Path)
    for name, value in (("width", 16), ("crop", 96), ("steps", 300), ("seed", 0)):
        words.add_argument(f"--{name}", type=int, default=value)
    words.add_argument("--dry-run", action="store_true")
    return words.parse_args()


def main() -> None:
    """Learn what is left to learn."""
    given = asked()
    torch.set_num_threads(1)
    study = Study(given)
    file = study.out / "cells.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(cell["backbone"], cell["method"], cell["task"]) for cell in found}
    if given.dry_run:
        for key in wanted():
            if key not in done:
                sys.stdout.write(json.dumps(study.planned(*key)) + "\n")
        return
    study.out.mkdir(parents=True, exist_ok=True)
    for count, key in enumerate(wanted(), 1):
        if key in done:
            continue
        learned = study.cell(*key)
        with file.open("a") as lines:
            lines.write(json.dumps(learned) + "\n")
        told = f"{count}/{len(wanted())}: {', '.join(key)}: {learned['validation']:.4g}"
        sys.stderr.write(f"[{time.perf_counter() - BEGUN:.0f} s] {told}\n")


if __name__ == "__main__":
    main()
