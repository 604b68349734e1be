"""Figures of what tasks share: kappa by layer compared with its ceiling, and losses along a blend of two tasks."""

from collections.abc import Collection, Mapping, Sequence
from math import isfinite

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stencilnet.analysis.cells import cell, colour_bar, grid_of_cells, shade
from stencilnet.analysis.drawing import DECODER, ENCODER, INK, LINE, MUTED, styled
from stencilnet.analysis.masks import Overlap, Similarity, total
from stencilnet.analysis.plots import bar_names
from stencilnet.evaluation.wording import wording_of

Pair = tuple[str, str]
"""Names of two tasks."""

_BY_CHANCE = 2
"""Standard deviations of unrelated tasks' kappa; values no farther from 0 are printed in a muted colour."""


def kappa_layers_figure(
    similarity: Similarity,
    ceilings: Collection[Pair],
    decoder: Collection[str],
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw Cohen's kappa for each pair of tasks by layer: one row per pair, ceilings first; layers in network order.

    Args:
        similarity: Similarity of at least two tasks with masks or codes.
        ceilings: The pairs that are one task learned twice.
        decoder: Keys of the decoder's weights; may be empty.
        names: Names of layers by key; a layer without one is shown by its key, without ``.weight``.
    """
    pairs = sorted(similarity.layers, key=lambda pair: pair not in ceilings)  # stable: otherwise in order of learning
    rows = [[*similarity.layers[pair].values(), total(similarity.layers[pair])] for pair in pairs]
    keys = list(similarity.layers[pairs[0]])
    limit = max(0.05, *(abs(count.kappa) for row in rows for count in row))
    with styled():
        size = (3.4 + 0.42 * (len(keys) + 1), 1.7 + 0.34 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        for line, row in enumerate(rows):
            for place, count in enumerate(row):
                _kappa_cell(axes, place, line, count, limit)
        grid_of_cells(axes, len(keys) + 1, len(rows))
        _mark(axes, keys, decoder, len([pair for pair in pairs if pair in ceilings]), len(rows))
        axes.set_xticks(range(len(keys) + 1), [*bar_names(keys, names or {}), "all"], rotation=55, ha="right")
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
        labels = [f"{a} · {b}" + (" (ceiling)" if (a, b) in ceilings else "") for a, b in pairs]
        axes.set_yticks(range(len(rows)), labels)
        axes.set_title(f"Cohen's kappa between {wording_of(similarity.kind).several}, by layer", pad=20)
        colour_bar(figure, axes, limit, (_short(-limit), "0: chance", _short(limit)))
    return figure


def _kappa_cell(axes: Axes, x: int, y: int, count: Overlap, limit: float) -> None:
    cell(axes, x, y, shade(count.kappa, limit), _short(count.kappa))
    if abs(count.kappa) <= _BY_CHANCE * count.kappa_by_chance:
        axes.texts[-1].set_color(MUTED)


def _short(kappa: float) -> str:
    """Format a kappa with two decimals: ``.07``, ``−.01``, ``0``."""
    text = f"{kappa:.2f}".replace("-", "−").replace("0.", ".", 1)
    return "0" if text in (".00", "−.00") else text


def _mark(axes: Axes, keys: Sequence[str], decoder: Collection[str], ceilings: int, rows: int) -> None:
    """Write "encoder" and "decoder" over their first columns; draw lines beside the last column and below ceilings."""
    starts = {key in decoder: place for place, key in reversed(list(enumerate(keys)))}
    for is_decoder, place in starts.items() if len(starts) == 2 else ():
        name, colour = ("decoder", DECODER) if is_decoder else ("encoder", ENCODER)
        axes.text(place - 0.47, -0.6, name, color=colour, fontsize=9, fontweight="bold", va="bottom")
    axes.axvline(len(keys) - 0.5, color=INK, linewidth=1)
    if 0 < ceilings < rows:
        axes.axhline(ceilings - 0.5, color=INK, linewidth=1)
    if len(starts) == 2:
        axes.axvline(max(starts.values()) - 0.5, color=LINE, linewidth=1)


def blend_figure(shares: Sequence[float], values: Mapping[str, Sequence[float]], metric: str) -> Figure:
    """Draw the metrics of two tasks along the networks interpolated between them.

    Args:
        shares: Shares of the second task, from 0 to 1.
        values: Both tasks' metrics at each share, by task, the first task first.
        metric: Title of the metric.
    """
    first, second = values
    with styled():
        figure = Figure(figsize=(6.2, 3.3), layout="constrained")
        axes = figure.add_subplot()
        for task, colour in ((first, ENCODER), (second, DECODER)):
            axes.plot(shares, values[task], color=colour, marker="o", ms=4, label=f"to {task}")
        axes.set_title(f"From {first} to {second}")
        axes.set_ylabel(metric)
        axes.set_ylim(bottom=min(0.0, *(value for line in values.values() for value in line if isfinite(value))))
        axes.set_xticks(list(shares), blend_names(shares, first, second))
        axes.tick_params(length=0)
        axes.grid(visible=False, axis="x")
        axes.legend(loc="best")
    return figure


def blend_names(shares: Sequence[float], first: str, second: str) -> list[str]:
    """Return labels for positions between two tasks: task names at both ends, shares of the second task in between."""
    named = {0.0: first, 1.0: second}
    return [named.get(share, f"{share:.2f}".replace("0.", ".")) for share in shares]
