"""What a run would do, before it does it."""

from collections.abc import Sequence
from pathlib import Path

from stencilnet.evaluation.protocol import plan
from stencilnet.experiment.config import Experiment
from stencilnet.experiment.opening import open_data


def describe(experiment: Experiment, root: Path, *, methods: Sequence[str], only: Sequence[str] = ()) -> str:
    """Return the plan in plain text: every training with its start, steps and examples.

    Args:
        experiment: The config.
        root: Where its data are.
        methods: Names of the methods to learn by.
        only: Names of the tasks to learn after the first; empty for all.

    Raises:
        ValueError: If the data cannot be opened.
    """
    lines = [f"{experiment.title}: U-Net of width {experiment.backbone.width}, seed {experiment.seed}"]
    counts = {}
    for task in experiment.tasks:
        data = open_data(task, root)
        counts[task.name] = f"{len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test"
    order = [task.name for task in experiment.tasks]
    lines += ["", "data"] + [f"  {name:<24} {count}" for name, count in counts.items()]
    lines += ["", "trainings", f"  {'backbone':<12} {order[0]:<24} {_budget(experiment, order[0])}"]
    for method in (chosen for chosen in experiment.methods if chosen.method.name in methods):
        names = (order[0], *experiment.learned_by(method))
        for stage in plan(names, method.method.name, method.method.moves_shared, method.parents)[1:]:
            if only and stage.task not in only:
                continue
            start = f", from the state after {stage.parent}" if stage.moves_shared else ""
            lines.append(f"  {stage.method:<12} {stage.task:<24} {_budget(experiment, stage.task)}{start}")
    return "\n".join(lines)


def _budget(experiment: Experiment, name: str) -> str:
    plan = experiment.plan(name)
    return f"{plan.recipe.steps} steps of {plan.recipe.batch}, {plan.view.crop} px"
