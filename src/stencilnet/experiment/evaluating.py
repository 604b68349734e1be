"""Measures a bundle's tasks, and trivial baselines, on a config's test data."""

from dataclasses import asdict
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from stencilnet.config.classes import with_classes
from stencilnet.config.schema import Experiment
from stencilnet.experiment.session import Session
from stencilnet.experiment.testing import UNTESTED, Tester
from stencilnet.learning.counting import check_data
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.learning.styles import bind_tasks
from stencilnet.models import load
from stencilnet.text.columns import aligned
from stencilnet.text.shortening import listed, shorten


def evaluate_bundle(
    bundle: Path, experiment: Experiment, session: Session, precision: str = "float32"
) -> dict[str, dict[str, Any]]:
    """Measure every task that bundle and config share.

    Args:
        bundle: The bundle.
        experiment: The config: tasks by name, with their test data.
        session: Gives the root folder of the data; its `announce` receives the progress.
        precision: Precision of the networks, one of `stencilnet.runtime.PRECISIONS`.

    Returns:
        JSON data by task: ``metrics`` (descriptions, with the direction that is better), ``values``, the baseline's
        name ``trivial`` and its ``trivial_values``.

    Raises:
        DataError: If a task's test data hold nothing to measure.
        ValueError: If bundle and config have no task in common, or a task differs in its channels.
    """
    experiment = with_classes(experiment, session.root)
    net = load(bundle)
    shared = [plan for plan in experiment.tasks if plan.name in net.tasks]
    if not shared:
        raise ValueError(
            f"Expected {bundle} and the config to share tasks, but the bundle has {listed(net.tasks) or 'none'} "
            f"and the config {listed(plan.name for plan in experiment.tasks)}."
        )

    @cache
    def data(name: str) -> TaskData:
        return open_data(experiment.plan(name), session.root)

    tasks = bind_tasks(experiment, net.backbone, lambda: data(experiment.tasks[0].name).train, session.root)
    tester = Tester(experiment=experiment, tasks=tasks, data=data, root=session.root)
    measured = {}
    for plan in shared:
        task, record = tasks[plan.name], net.records[plan.name]
        if (task.kind, task.channels) != (record.kind, record.channels):
            raise ValueError(
                f"Expected task {plan.name!r} to be of kind {shorten(record.kind)} with {record.channels} channels "
                f"as in {bundle}, but the config's task is {task.kind} with {task.channels}."
            )
        session.announce(f"evaluate: {plan.name}")
        if plan.data.test is None:
            session.announce(f"{plan.name}: {UNTESTED}")
        for line in check_data(plan, data(plan.name), parts=("test",)):
            session.announce(line)
        measured[plan.name] = {
            "metrics": [asdict(metric) for metric in task.metrics],
            "values": tester.measure(plan.name, tester.network(net, plan.name, precision)),
            "trivial": task.trivial,
            "trivial_values": tester.measure(plan.name, tester.baseline(plan.name)),
        }
    return measured


def as_text(measured: dict[str, dict[str, Any]]) -> str:
    """Return the measurements as plain text, one line per metric."""
    rows = [_cells(name, found, metric) for name, found in measured.items() for metric in found["metrics"]]
    lines = iter(aligned([("task", "metric", "measured", "trivial", ""), *rows], "<<>><"))
    text = [next(lines)]
    for found in measured.values():
        text += islice(lines, len(found["metrics"]))
        notes = dict.fromkeys(metric["note"] for metric in found["metrics"] if metric["note"])
        for note in notes:
            named = [metric["name"] for metric in found["metrics"] if metric["note"] == note]
            text.append(f"  {', '.join(named)}: {note}")
    return "\n".join(text)


def _cells(name: str, found: dict[str, Any], metric: dict[str, Any]) -> tuple[str, ...]:
    arrow = "\N{UPWARDS ARROW}" if metric["higher_is_better"] else "\N{DOWNWARDS ARROW}"
    value, trivial = (found[key][metric["name"]] for key in ("values", "trivial_values"))
    return name, f"{metric['name']} {arrow}", f"{value:.4f}", f"{trivial:.4f}", f"({found['trivial']})"
