"""Heat maps with numbers in their cells."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stencilnet.analysis.drawing import CELL, MUTED

CELL_INK = "#16191d"
"""Colour of text in coloured cells, also on dark pages."""

_DIVERGING = LinearSegmentedColormap.from_list("diverging", ["#d8683a", "#f2b094", "#f0f0ed", "#9ac7e2", "#4a9bcb"])


def shade(value: float, limit: float) -> tuple[float, ...]:
    """Return the colour of a value between -`limit` and `limit`: orange below zero, blue above."""
    colour: tuple[float, ...] = _DIVERGING(Normalize(-limit, limit, clip=True)(value))
    return colour


def cell(axes: Axes, x: int, y: int, colour: object, text: str, *, frame: bool = False) -> None:
    """Draw a cell; a frame lies inside it, so that it is visible on dark pages too."""
    axes.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, facecolor=colour, edgecolor="none"))
    if frame:
        axes.add_patch(Rectangle((x - 0.43, y - 0.39), 0.86, 0.78, facecolor="none", edgecolor=CELL_INK))
    ink = MUTED if colour == CELL else CELL_INK
    axes.text(x, y, text, ha="center", va="center", fontsize=8, linespacing=1.15, color=ink)


def grid_of_cells(axes: Axes, columns: int, rows: int) -> None:
    """Set the axes' limits for a grid of cells, and remove lines and ticks."""
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.xaxis.tick_bottom()
    for spine in axes.spines.values():
        spine.set_visible(False)


def colour_bar(figure: Figure, axes: Axes, limit: float, labels: Sequence[str]) -> None:
    """Draw the colour scale of `shade`, with labels at both ends and in the middle."""
    scale = ScalarMappable(Normalize(-limit, limit), _DIVERGING)
    bar = figure.colorbar(scale, ax=axes, shrink=0.9, aspect=18, pad=0.02)
    bar.set_ticks([-limit, 0.0, limit], labels=labels)
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
