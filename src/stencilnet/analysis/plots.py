"""Figures: ratio of 0 by layer (the paper, Figs. 9-13), training curves, forgetting, similarity of tasks."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stencilnet.analysis.cells import cell, colour_bar, grid_of_cells, shade
from stencilnet.analysis.curves import Curves, Series
from stencilnet.analysis.drawing import (
    BACKBONE_COLOUR,
    CELL,
    DECODER,
    ENCODER,
    INK,
    LINE,
    MUTED,
    OTHER_COLOURS,
    styled,
)
from stencilnet.analysis.masks import Similarity
from stencilnet.evaluation.matrix import Column, Comparison, ResultMatrix
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.evaluation.render import number_texts
from stencilnet.evaluation.results import TaskCard
from stencilnet.evaluation.tables import method_title, metric_title
from stencilnet.evaluation.wording import wording_of
from stencilnet.methods import registered
from stencilnet.tasks.task import Metric

_MANY_LAYERS = 40
"""Maximum number of bars with numbers above them; more would overlap."""


def zero_ratio_figure(
    ratios: Mapping[str, float],
    overall: float,
    decoder: Collection[str],
    title: str,
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw the ratio of 0 in one task's mask or codes, with one bar per layer (the paper, Figs. 9-14).

    Args:
        ratios: Ratios of the layers, by state-dict key, in network order, in [0, 1].
        overall: Ratio over all weights, in [0, 1].
        decoder: The keys that belong to the decoder; may be empty.
        title: Title of the figure.
        names: Names of layers by key; a layer without one is shown by its key, without ``.weight``.
    """
    count = len(ratios)
    shown = bar_names(ratios, names or {})
    keys, percent = list(ratios), [100 * ratio for ratio in ratios.values()]
    with styled():
        figure = Figure(figsize=(max(6.0, 1.4 + 0.36 * count), 3.3), layout="constrained")
        axes = figure.add_subplot()
        colours = [DECODER if key in decoder else ENCODER for key in keys]
        axes.bar(range(count), percent, width=0.76, color=colours)
        axes.axhline(100 * overall, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(count - 0.35, 100 * overall, f"all\n{100 * overall:.1f} %", va="center", fontsize=8.5)
        if count <= _MANY_LAYERS:
            for place, value in enumerate(percent):
                inside = value > 9
                y, ink = (2.5, "white") if inside else (value + 1.5, MUTED)
                axes.text(place, y, f"{value:.0f}", ha="center", fontsize=7.5, color=ink)
        _mark_halves(axes, keys, decoder)
        axes.set_title(title)
        axes.set_ylabel("ratio of 0 (%)")
        axes.set_ylim(0, 100)
        axes.set_yticks(range(0, 101, 20))
        axes.set_xlim(-0.7, count - 0.3)
        axes.set_xticks(range(count), shown, rotation=55, ha="right")
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
        axes.grid(visible=False, axis="x")
        axes.tick_params(length=0)
    return figure


def bar_names(keys: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """Return the names of layers in text and figures: their given names, else their keys without ``.weight``."""
    return [names.get(key, key.removesuffix(".weight")) for key in keys]


def _mark_halves(axes: Axes, keys: Sequence[str], decoder: Collection[str]) -> None:
    """Write the names of encoder and decoder over their first bars, in their colours."""
    starts = {key in decoder: place for place, key in reversed(list(enumerate(keys)))}
    if len(starts) < 2:
        return
    for is_decoder, place in starts.items():
        name, colour = ("decoder", DECODER) if is_decoder else ("encoder", ENCODER)
        axes.text(place - 0.38, 93, name, color=colour, fontsize=9.5, fontweight="bold")
    axes.axvline(max(starts.values()) - 0.5, color=LINE, linewidth=1)


def training_figure(curves: Mapping[str, Curves], metric: Metric, title: str) -> Figure:
    """Draw one task's trainings: the loss, and the headline metric on validation examples.

    Args:
        curves: Curves by method; a ring marks the selected step.
        metric: The headline metric.
        title: Title of the figure.
    """
    colours = method_colours(curves)
    with styled():
        figure = Figure(figsize=(9.3, 3.2), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        left, right = figure.subplots(1, 2)
        for method, curve in curves.items():
            _line(left, curve.loss, colours[method], method)
            _line(right, curve.validation, colours[method], method, marker="o")
            _ring(right, curve, colours[method])
        _scale(left, [curve.loss for curve in curves.values()])
        left.set_ylabel("training loss")
        right.set_ylabel(f"{metric_title(metric)} on validation")
        for axes in (left, right):
            axes.set_xlabel("step")
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.tick_params(length=0)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))
    return figure


def method_colours(methods: Collection[str]) -> dict[str, str]:
    """Return a colour for each method: its own, which is the same in every figure, else one of `OTHER_COLOURS`."""
    own = {name: kind.colour for name, kind in registered().items() if kind.colour} | {BACKBONE: BACKBONE_COLOUR}
    others = [method for method in methods if method not in own]
    extra = {method: OTHER_COLOURS[place % len(OTHER_COLOURS)] for place, method in enumerate(others)}
    return {method: (own | extra)[method] for method in methods}


def _line(axes: Axes, series: Series, colour: str, method: str, marker: str | None = None) -> None:
    style = {"finetune": "--", "decoder": "-.", "scratch": (0, (1, 1))}.get(method, "-")
    axes.plot(*series, color=colour, linestyle=style, marker=marker, ms=2.8, label=method_title(method))


def _ring(axes: Axes, curve: Curves, colour: str) -> None:
    """Mark the selected step."""
    values = dict(zip(*curve.validation, strict=True))
    if curve.selected in values:
        axes.plot([curve.selected], [values[curve.selected]], "o", color=colour, ms=9, mfc="none")


def _scale(axes: Axes, series: Sequence[Series]) -> None:
    """Use a logarithmic axis if the largest loss would flatten all others."""
    values = [value for _, ys in series for value in ys if np.isfinite(value)]
    if values and min(values) > 0 and max(values) > 30 * min(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min([0.0, *values]))


def forgetting_figure(comparison: Comparison, method: str) -> Figure:
    """Draw every task's headline metric in every state of one method, coloured by its change.

    A frame marks the state right after a task was learned; the colours show the change relative to that value.
    """
    cards, matrix = comparison.cards, comparison.matrix(method)
    columns = [Column(task=card.name, metric=card.metrics[0]) for card in cards]
    by_name = {card.name: card for card in cards}
    with styled():
        figure = Figure(figsize=(2.9 + 1.05 * len(columns), 1.5 + 0.52 * len(matrix.rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, column in enumerate(columns):
            _forgetting_column(axes, matrix, column, place)
        rows = [by_name[row.task] for row in matrix.rows]
        grid_of_cells(axes, len(columns), len(rows))
        axes.set_xticks(range(len(columns)), [_head(card) for card in cards])
        axes.set_yticks(range(len(rows)), [f"after Task {card.number} · {card.title}" for card in rows])
        axes.set_title(f"{method_title(method)}: every task in every state", pad=8)
        colour_bar(figure, axes, 1.0, ("100 % worse", "as learned", "100 % better"))
    return figure


def _forgetting_column(axes: Axes, matrix: ResultMatrix, column: Column, place: int) -> None:
    values = [matrix.value(row.task, column) for row in matrix.rows]
    texts = number_texts(values)
    own = matrix.learned(column)
    learned = False
    for line, (row, value, text) in enumerate(zip(matrix.rows, values, texts, strict=True)):
        learned = learned or row.task == column.task
        if value is None or own is None:
            if learned:
                cell(axes, place, line, CELL, "-")
            continue
        change = relative_change(own, value)
        better = change if column.metric.higher_is_better else -change
        colour = shade(better, 1.0)
        if row.task == column.task:
            cell(axes, place, line, colour, text, frame=True)
        else:
            cell(axes, place, line, colour, f"{text}\n{_percent(change)}")


def relative_change(before: float, after: float) -> float:
    """Return the change relative to the magnitude of `before`; infinite if that is zero and the value changed.

    A change from infinity to a finite value is -1, and 1 from minus infinity.
    """
    if after == before:
        return 0.0
    if np.isinf(before):
        return -float(np.copysign(1, before))
    return (after - before) / abs(before) if before else float(np.copysign(np.inf, after - before))


def _percent(change: float) -> str:
    return "±0 %" if change == 0 else f"{100 * change:+.0f} %".replace("-", "−")


def kappa_figure(cards: Sequence[TaskCard], similarity: Similarity) -> Figure:
    """Draw Cohen's kappa for each pair of tasks' masks or codes: their similarity beyond chance."""
    shown = [card for card in cards if card.name in similarity.tasks[1:]]
    size = len(shown) - 1
    values = [value for pair, value in similarity.kappa.items() if pair[0] != similarity.tasks[0]]
    limit = max([0.05, *(abs(value) for value in values)])
    with styled():
        figure = Figure(figsize=(3.2 + 1.0 * size, 1.7 + 0.5 * size), layout="constrained")
        axes = figure.add_subplot()
        for line, below in enumerate(shown[1:]):
            for place, above in enumerate(shown[: line + 1]):
                value = similarity.kappa[above.name, below.name]
                colour = shade(value, limit)
                cell(axes, place, line, colour, f"{value:.3f}".replace("-", "−"))
        grid_of_cells(axes, size, size)
        axes.set_xticks(range(size), ["\n".join([f"Task {card.number}", *wrap(card.title, 13)]) for card in shown[:-1]])
        axes.set_yticks(range(size), ["\n".join(wrap(f"Task {card.number} · {card.title}", 22)) for card in shown[1:]])
        title = f"Cohen's kappa between {wording_of(similarity.kind).several}"
        axes.set_title("\n".join(wrap(title, 16 + 12 * size)), pad=8)
        colour_bar(figure, axes, limit, (f"−{limit:.2f}", "0: chance", f"{limit:.2f}"))
    return figure


def _head(card: TaskCard) -> str:
    return "\n".join([f"Task {card.number}", *wrap(card.title, 13), metric_title(card.metrics[0])])
