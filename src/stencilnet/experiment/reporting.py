"""Makes a run's report from the files in its folder alone."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from stencilnet.analysis.curves import Curves, joined, read_curves
from stencilnet.analysis.masks import TaskCodes
from stencilnet.analysis.report import write_report as write_files
from stencilnet.analysis.sections import ReportInputs, compose
from stencilnet.config.reading import to_yaml
from stencilnet.config.schema import Experiment
from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.protocol import BACKBONE, TRIVIAL
from stencilnet.evaluation.results import StageResult
from stencilnet.evaluation.tables import method_title
from stencilnet.experiment.folder import RunFolder
from stencilnet.experiment.pictures import INPUT, TARGET, saved
from stencilnet.experiment.run import Run
from stencilnet.learning.counting import noted
from stencilnet.models import load
from stencilnet.models.vgg16 import layer_names
from stencilnet.pictures.grids import Sheet, class_legend, contact_sheet
from stencilnet.tasks.task import LabelMapTask, PictureTask


def write_report(run: Run) -> Path:
    """Write ``report.html``, ``report.md``, ``report.json`` and ``figures/`` into a run folder; return the page's path.

    Raises:
        ResultError: If a result file is damaged.
    """
    return write_files(compose(material(run)), run.folder.path)


def material(run: Run) -> ReportInputs:
    """Return the inputs of a run's report.

    Raises:
        ResultError: If a result file is damaged.
    """
    experiment, folder = run.experiment, run.folder
    results = tuple(run.results())
    comparison = Comparison.of(results)
    codes, decoder, layers = _codes(folder)
    return ReportInputs(
        title=experiment.title,
        results=results,
        main=folder.main,
        config=to_yaml(experiment),
        facts=(("Command", run.session.command),) if run.session.command else (),
        codes=codes,
        decoder=decoder,
        layers=layers,
        frozen=experiment.backbone.frozen,
        sheets={
            card.name: _sheet(experiment, folder, card.name, comparison)
            for card in comparison.cards
            if experiment.pictures and isinstance(experiment.plan(card.name).task, PictureTask)
        },
        curves={card.name: _curves(folder, results, card.name) for card in comparison.cards},
        lacking=tuple(line for plan in experiment.tasks for line in noted(plan, folder.counts(plan.name))),
        not_run=tuple(_not_run(experiment)),
        beside_paper=experiment.reference == "paper",
    )


def _codes(folder: RunFolder) -> tuple[Mapping[str, TaskCodes], tuple[str, ...], Mapping[str, str]]:
    """Return masks or codes by task, the decoder's keys, and the names of layers."""
    bundle = folder.path / "bundle"
    if not bundle.exists():
        return {}, (), {}
    net = load(bundle)
    codes = {task: delta.weight_codes for task, delta in net.deltas.items()}
    decoder = tuple(name for name in net.layout.decoder if name in net.layout.masked)
    return {task: own for task, own in codes.items() if own}, decoder, layer_names(net.backbone)


def _sheet(experiment: Experiment, folder: RunFolder, task: str, comparison: Comparison) -> Image.Image:
    labels = [INPUT, TARGET, *dict.fromkeys((BACKBONE, *comparison.methods))]
    found = {label: saved(folder.pictures(task), label) for label in labels}
    shown = {label: paths for label, paths in found.items() if paths}
    positions = sorted(found[INPUT])
    rows = [[_opened(paths, position) for paths in shown.values()] for position in positions]
    kind = experiment.plan(task).task
    classes = kind.classes if isinstance(kind, LabelMapTask) else ()
    return contact_sheet(
        Sheet(
            columns=tuple(method_title(label) for label in shown),
            rows=tuple(tuple(row) for row in rows),
            legend=class_legend(classes, [picture for row in rows for picture in row]),
        )
    )


def _opened(paths: Mapping[int, Path], position: int) -> Image.Image | None:
    if position not in paths:
        return None
    with Image.open(paths[position], formats=("PNG",)) as picture:
        picture.load()
        return picture.copy()


def _curves(folder: RunFolder, results: tuple[StageResult, ...], task: str) -> dict[str, Curves]:
    """Return the curves of a task's trainings by method; a task merged from another bundle has none."""
    trained = [result for result in results if result.task == task and result.method != TRIVIAL]
    logged = [(result, _logs(folder.stage(result.method, task))) for result in trained]
    return {
        result.method: joined([read_curves(log, result.card.metrics[0]) for log in logs], result.selected_step)
        for result, logs in logged
        if logs
    }


def _logs(stage: Path) -> list[Path]:
    """Return the metrics files of a stage's trainings, in order."""
    return sorted(stage.glob("fit-*/metrics.csv"), key=lambda path: int(path.parent.name.removeprefix("fit-")))


def _not_run(experiment: Experiment) -> list[str]:
    if not any(method.tasks for method in experiment.methods):
        return []
    return ["In this config some methods learn fewer tasks, to save time; their empty cells show `-`."]
