"""Composes the report of a run: makes sections from results, masks, pictures and curves."""

import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from PIL import Image

from stencilnet.analysis.curves import Curves
from stencilnet.analysis.drawing import to_svg
from stencilnet.analysis.highlights import highlights
from stencilnet.analysis.masks import Similarity, TaskCodes, by_kind, similarity, zero_ratio, zero_ratios
from stencilnet.analysis.plots import bar_names, forgetting_figure, kappa_figure, training_figure, zero_ratio_figure
from stencilnet.analysis.report import Picture, Report, Section
from stencilnet.evaluation.details import duration, forgetting_table, size_table, training_table
from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.evaluation.published import table2_beside_ours
from stencilnet.evaluation.render import Table
from stencilnet.evaluation.results import StageResult, TaskCard
from stencilnet.evaluation.tables import method_title, metric_title, table1, table2, table3, task_title
from stencilnet.evaluation.wording import Wording, wording_of


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportInputs:
    """The inputs of a report. Only `title` and `results` are required; sections without inputs are left out.

    Attributes:
        title: Title of the page.
        results: Every finished stage, including trivial baselines.
        main: The method that the highlights and masks describe. Default: ``piggyback``.
        config: The run's config, as text.
        facts: Further names and values for the section on the run.
        codes: The main method's masks or codes by task, in the order of learning.
        decoder: State-dict keys of the decoder's masked weights.
        layers: Names of layers by state-dict key; a layer without one is shown by its key.
        frozen: Whether the first task left the network unchanged.
        sheets: Contact sheets by task.
        curves: Training curves by task, then method.
        lacking: One sentence per class that a part of the data has no example of.
        not_run: One sentence per thing that was left out, with the reason.
        beside_paper: Whether the run follows the paper's own protocol, so that its Table 2 is shown for comparison.
    """

    title: str
    results: tuple[StageResult, ...]
    main: str = "piggyback"
    config: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    codes: Mapping[str, TaskCodes] = field(default_factory=dict)
    decoder: Collection[str] = ()
    layers: Mapping[str, str] = field(default_factory=dict)
    frozen: bool = False
    sheets: Mapping[str, Image.Image] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Curves]] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()
    beside_paper: bool = False


def compose(material: ReportInputs) -> Report:
    """Return the report of a run."""
    comparison = Comparison.of(material.results)
    methods = [method_title(method) for method in comparison.methods if method != BACKBONE]
    tasks = len(comparison.cards)
    kind = "" if any(card.output == "class" for card in comparison.cards) else "image-to-image "
    summary = (
        f"{tasks} {kind}{'task' if tasks == 1 else 'tasks'}, learned one after another"
        + (f" by {_listed(methods)}" if methods else "")
        + ". Every number was measured in this run, on test examples unless validation is mentioned."
    )
    sections = [
        _run(material, comparison),
        _tasks(material, comparison),
        _results(material, comparison),
        _published(comparison) if material.beside_paper else None,
        _forgetting(material, comparison),
        _sizes(comparison),
        _codes(material, comparison),
        _pictures(material, comparison),
        _training(material, comparison),
        _notes(material, comparison),
    ]
    return Report(
        title=material.title,
        summary=summary,
        highlights=highlights(comparison, material.main),
        sections=tuple(section for section in sections if section is not None),
    )


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _run(material: ReportInputs, comparison: Comparison) -> Section:
    results = comparison.results
    dates = sorted(result.date for result in results if result.date)
    versions = dict.fromkeys(f"{name} {version}" for result in results for name, version in result.versions.items())
    facts = {
        "Tasks": ", ".join(task_title(card) for card in comparison.cards),
        "Methods": ", ".join(method_title(method) for method in comparison.methods),
        "Seed": _different(str(result.seed) for result in results),
        "Hardware": _different(result.hardware for result in results),
        "Software": ", ".join(versions),
        "Commit": _different(result.commit for result in results),
        "Finished": dates[-1] if dates else "",
        "Training time": duration(sum(result.seconds for result in results)),
    }
    return Section(
        name="run",
        title="This run",
        facts=(*((name, value) for name, value in facts.items() if value), *material.facts),
        listing=("The whole config", material.config) if material.config else None,
    )


def _different(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value))


def _tasks(material: ReportInputs, comparison: Comparison) -> Section | None:
    if not comparison.cards:
        return None
    if comparison.cards[0].name in material.codes:
        first = "The shared weights keep their initial values; task 1 learns codes over them, as others may."
    elif material.frozen:
        first = "The network keeps its initial weights; task 1 learns its head."
    else:
        first = "Task 1 trains the network."
    return Section(
        name="tasks",
        title="Tasks",
        text=(f"{first} Each further task is learned on top of it, in this order.",),
        tables=(table1(comparison),),
    )


def _results(material: ReportInputs, comparison: Comparison) -> Section | None:
    if not comparison.cards:
        return None
    return Section(
        name="results",
        title="Results",
        text=(
            "The first rows show each task right after it was learned, the next rows each task tested again after the "
            "next one was learned: a method whose results are worse there has forgotten. The trivial baseline uses no "
            "network.",
        ),
        points=material.lacking,
        tables=(table2(comparison),),
    )


def _published(comparison: Comparison) -> Section:
    return Section(
        name="paper",
        title="Beside the paper",
        text=("The paper does not state budgets, crops and much else, so the numbers cannot be expected to be equal.",),
        tables=(table2_beside_ours(comparison),),
    )


def _forgetting(material: ReportInputs, comparison: Comparison) -> Section | None:
    methods = [method for method in comparison.methods if len(comparison.stages(method)) > 1]
    if not methods:
        return None
    tests = {method: comparison.matrix(method).retests() for method in methods}
    kept = [method_title(method) for method in methods if tests[method].count and not tests[method].changed]
    text = [
        "Every task was tested in every state. A row is a state: the network right after one more task was learned. "
        "A column is a task: read it downwards to see how later tasks changed it."
    ]
    if kept:
        text.append(f"With {_listed(kept)}, every number of every earlier task stayed exactly the same.")
    if any(result.digests for result in comparison.results):
        text.append("A task whose weights are bit-equal to those of its last test keeps that test's numbers.")
    shown = [method for method in methods if tests[method].changed or method == material.main]
    return Section(
        name="forgetting",
        title="Forgetting",
        text=tuple(text),
        pictures=tuple(_forgetting_picture(comparison, method) for method in shown),
        folded=tuple(forgetting_table(comparison, method) for method in methods),
    )


def _forgetting_picture(comparison: Comparison, method: str) -> Picture:
    return Picture(
        name=f"forgetting-{method}",
        alt=f"Heat map of {method_title(method)}: each task's headline metric in each state. "
        "The table of the same name below holds the numbers.",
        caption=f"{method_title(method)}. A frame marks a value right after learning; below later ones is the change.",
        data=to_svg(forgetting_figure(comparison, method)),
    )


def _sizes(comparison: Comparison) -> Section | None:
    if not any(result.sizes.shared for result in comparison.results):
        return None
    return Section(name="sizes", title="Sizes", tables=(size_table(comparison),))


def _codes(material: ReportInputs, comparison: Comparison) -> Section | None:
    cards = [card for card in comparison.cards if card.name in material.codes]
    if not cards:
        return None
    kinds = by_kind({card.name: material.codes[card.name] for card in cards})
    words = [wording_of(kind) for kind in kinds]
    tables: list[Table] = []
    pictures: list[Picture] = []
    for kind, group in kinds.items():
        first, own = comparison.cards[0], [card for card in cards if card.name in group]
        trained = first.name not in material.codes  # it trained the shared weights, so it leaves them unchanged
        unchanged = first if trained else replace(first, name=wording_of(kind).constant)
        found = similarity(unchanged.name, group)
        made = table3((unchanged, *own), found.agreement, found.kappa, kind, constant=not trained)
        tables += made[: 2 if len(own) > 1 else 1]
        if len(own) > 1:
            pictures.append(_kappa_picture("kappa" if len(kinds) == 1 else f"kappa-{kind}", comparison, found))
        pictures += [_zero_ratio_picture(material, card, wording_of(kind)) for card in own]
    return Section(
        name="masks",
        title=_listed(list(dict.fromkeys(wording.several for wording in words))).capitalize(),
        text=tuple(wording.about.format(method=method_title(material.main)) for wording in words),
        tables=tuple(tables),
        pictures=tuple(pictures),
    )


def _kappa_picture(name: str, comparison: Comparison, found: Similarity) -> Picture:
    wording = wording_of(found.kind)
    return Picture(
        name=name,
        alt=f"Heat map of Cohen's kappa between every {wording.pair}. Table 3b holds the numbers.",
        caption=f"How much more similar {wording.pair} are than {wording.unrelated}.",
        data=to_svg(kappa_figure(comparison.cards, found)),
    )


def _zero_ratio_picture(material: ReportInputs, card: TaskCard, wording: Wording) -> Picture:
    codes = material.codes[card.name]
    ratios, overall = zero_ratios(codes), zero_ratio(codes)
    shown = zip(bar_names(ratios, material.layers), ratios.values(), strict=True)
    listed = ", ".join(f"{name} {100 * ratio:.0f}" for name, ratio in shown)
    title = f"{task_title(card)}: ratio of 0 in the {wording.one}"
    return Picture(
        name=f"zero-ratio-{card.name}",
        alt=f"Bar chart of the ratio of 0 by layer, in percent: {listed}.",
        caption=f"{task_title(card)}: share of weights that {wording.zero}, layer by layer, in network order.",
        data=to_svg(zero_ratio_figure(ratios, overall, material.decoder, title, material.layers)),
    )


def _pictures(material: ReportInputs, comparison: Comparison) -> Section | None:
    cards = [card for card in comparison.cards if card.name in material.sheets]
    if not cards:
        return None
    return Section(
        name="pictures",
        title="Pictures",
        text=("Test examples, spread evenly over the split and not chosen by appearance.",),
        pictures=tuple(
            Picture(
                name=f"pictures-{card.name}",
                alt=f"Contact sheet of {task_title(card)}: examples in rows, input, target and outputs in columns.",
                caption=f"{task_title(card)}: {card.category}, {card.input} to {card.output}.",
                data=_png(material.sheets[card.name]),
            )
            for card in cards
        ),
    )


def _png(sheet: Image.Image) -> bytes:
    stream = io.BytesIO()
    sheet.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _training(material: ReportInputs, comparison: Comparison) -> Section | None:
    trained = [result for result in comparison.results if result.selected_step is not None]
    cards = [card for card in comparison.cards if material.curves.get(card.name)]
    if not trained and not cards:
        return None
    pictures = [
        Picture(
            name=f"training-{card.name}",
            alt=f"Training curves of {task_title(card)}: the loss, and {metric_title(card.metrics[0])} on validation "
            f"examples, by {_listed([method_title(method) for method in material.curves[card.name]])}.",
            caption=f"{task_title(card)}. A ring marks the selected step.",
            data=to_svg(training_figure(material.curves[card.name], card.metrics[0], task_title(card))),
        )
        for card in cards
    ]
    return Section(
        name="training",
        title="Training",
        text=("The best step on validation examples is kept; test examples do not affect this choice.",),
        pictures=tuple(pictures),
        folded=(training_table(comparison),) if trained else (),
    )


def _notes(material: ReportInputs, comparison: Comparison) -> Section | None:
    notes = dict.fromkeys(note for result in comparison.results for note in result.notes)
    points = (*notes, *material.not_run, *_missing(comparison))
    return Section(name="notes", title="Notes", points=points) if points else None


def _missing(comparison: Comparison) -> list[str]:
    """Return sentences on the table cells that are empty because nothing was run."""
    points = []
    for method in comparison.methods:
        absent = [task_title(card) for card in comparison.cards if comparison.find(method, card.name) is None]
        if absent:
            points.append(f"{method_title(method)} was not run on {_listed(absent)}.")
    without = [task_title(card) for card in comparison.cards if comparison.trivial(card.name) is None]
    if without:
        points.append(f"The trivial baseline was not measured on {_listed(without)}.")
    return points
