"""What the zeros of a mask are: learned, or noise. Looks at masks that ../quality/study.py has learned.

python docs/results/zeros/study.py QUALITY OUT [--draws 3]

QUALITY is the folder of ``study.py final demo``, run for both arms below and two seeds or more. For each of the two
arms and tasks it measures, on validation data:

- the share of zeros in each layer, and Cohen's kappa between the masks of two seeds;
- the task's metric with the mask as it is, with half of its zeros put back at random, with all of them put back, and
  with as many zeros in each layer drawn at random.

OUT gets a line a measurement; `report.py` makes the page of it.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import stencilnet as sn
from stencilnet.analysis.masks import overlaps, total, zero_ratio
from stencilnet.config.reading import read_config, to_plain
from stencilnet.config.schema import TaskPlan
from stencilnet.data.samples import EvaluationSamples
from stencilnet.delta import BitMask, Select, TaskDelta
from stencilnet.evaluation.evaluate import evaluate
from stencilnet.experiment.testing import Tester
from stencilnet.learning.opening import open_data
from stencilnet.learning.provenance import hardware, provenance
from stencilnet.masks import NetState, tensor_of
from stencilnet.models import load

CONFIG = "demo/small"
ARMS = ("paper's masks", "masks, start by weight")
TASKS = ("things", "colour")
WIDTH = 16


@dataclass(frozen=True)
class Learned:
    """One learned mask.

    Attributes:
        arm: Of `ARMS`.
        task: Of `TASKS`.
        seed: It was learned at.
        net: Holds the task alone beside the first.
    """

    arm: str
    task: str
    seed: int
    net: sn.MultiTaskNet

    @property
    def bits(self) -> dict[str, Tensor]:
        """The mask, bool, by key of the weight."""
        return {name: tensor_of(mask.unpack()) for name, mask in self.net.deltas[self.task].masks.items()}

    def masked(self, bits: dict[str, Tensor]) -> sn.MultiTaskNet:
        """Return the same task with another mask."""
        entries = dict(self.net.deltas[self.task].entries) | {name: Select(BitMask.pack(b)) for name, b in bits.items()}
        state = NetState(self.net.state.shared, {**self.net.deltas, self.task: TaskDelta(entries)})
        return self.net.with_state(state, self.net.records)


def plan() -> list[dict[str, Any]]:
    """Return what is looked at, by task; nothing is opened or written."""
    return [{"task": task, "config": to_plain(read_config(CONFIG, [f"backbone.width={WIDTH}"]))} for task in TASKS]


def found(quality: Path) -> list[Learned]:
    """Return the masks of the quality study's final part.

    Raises:
        FileNotFoundError: If there are none of an arm and task.
        ValueError: If there are several of one seed, of which only one is the final part's.
    """
    masks = []
    for arm in ARMS:
        for task in TASKS:
            folders = sorted((quality / "cells").glob(f"{arm}-{task}-*-True"))
            if not folders:
                raise FileNotFoundError(f"Expected masks of {arm!r} on {task!r} in {quality / 'cells'}. Learn them.")
            for folder in folders:
                seed = int(folder.name.removeprefix(f"{arm}-{task}-").split("-")[0])
                masks.append(Learned(arm, task, seed, load(folder / "bundle")))
    if len({(mask.arm, mask.task, mask.seed) for mask in masks}) < len(masks):
        raise ValueError(
            f"Expected one mask an arm, task and seed in {quality / 'cells'}. Move those of other rates away."
        )
    return masks


def changed(bits: dict[str, Tensor], change: str, seed: int) -> dict[str, Tensor]:
    """Return a mask with another one's zeros changed."""
    generator = torch.Generator().manual_seed(seed)

    def layer(mask: Tensor) -> Tensor:
        match change:
            case "half of the zeros put back":
                return mask | (torch.rand(mask.shape, generator=generator) < 0.5)
            case "all zeros put back":
                return torch.ones_like(mask)
            case _:
                return mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view(mask.shape)

    return {name: layer(mask) for name, mask in bits.items()}


CHANGES = ("half of the zeros put back", "all zeros put back", "zeros drawn at random")


def measured(mask: Learned, plan: TaskPlan, draws: int) -> Iterator[dict[str, Any]]:
    """Yield the task's metric by change."""
    opened = open_data(plan, Path())
    samples = EvaluationSamples(opened.validation, plan.view, plan.task, whole=False)
    tester = Tester(experiment=read_config(CONFIG), tasks={plan.name: plan.task}, data=lambda _: opened, root=Path())

    def value(bits: dict[str, Tensor]) -> float:
        predict = tester.network(mask.masked(bits), mask.task)
        return evaluate(predict, plan.task, samples, batch=16)[plan.task.metrics[0].name]

    own = mask.bits
    row = {"arm": mask.arm, "task": mask.task, "seed": mask.seed, "metric": plan.task.metrics[0].name}
    yield {**row, "change": "as learned", "values": [value(own)]}
    for change in CHANGES:
        times = 1 if change == "all zeros put back" else draws
        yield {**row, "change": change, "values": [value(changed(own, change, draw)) for draw in range(times)]}


def layers(masks: list[Learned]) -> Iterator[dict[str, Any]]:
    """Yield the share of zeros by layer, and kappa between the first two seeds."""
    for arm in ARMS:
        for task in TASKS:
            first, second = [mask for mask in masks if (mask.arm, mask.task) == (arm, task)][:2]
            codes = [mask.net.deltas[task].weight_codes for mask in (first, second)]
            counts = overlaps(*codes)
            shares = {name: 1 - float(bits.double().mean()) for name, bits in first.bits.items()}
            yield {
                "arm": arm,
                "task": task,
                "seeds": [first.seed, second.seed],
                "zeros": shares,
                "zeros, all layers": zero_ratio(codes[0]),
                "kappa": {name: count.kappa for name, count in counts.items()},
                "kappa, all layers": total(counts).kappa,
                "kappa by chance": total(counts).kappa_by_chance,
            }


def main() -> None:
    """Measure all masks."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("quality", type=Path)
    words.add_argument("out", type=Path)
    words.add_argument("--draws", type=int, default=3)
    given = words.parse_args()
    masks, config, where = found(given.quality), read_config(CONFIG), provenance("cpu")
    facts = {"commit": where["commit"], "hardware": hardware(where), "torch": where["torch"]}
    rows = [*layers(masks), *(row for mask in masks for row in measured(mask, config.plan(mask.task), given.draws))]
    given.out.write_text("".join(json.dumps({**row, **facts}, allow_nan=False) + "\n" for row in rows))


if __name__ == "__main__":
    main()
