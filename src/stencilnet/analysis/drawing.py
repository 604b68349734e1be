"""The style of all figures, and figures as files: equal numbers give equal bytes, whatever the user's settings."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.style
from matplotlib.figure import Figure

from stencilnet.text.escaping import printable

INK, MUTED, LINE, CELL, PAPER = "#1f2329", "#62686f", "#d5d9de", "#eceef1", "#fffffe"
"""Colours of text, secondary text, grid lines, empty cells, background. No figure uses them for data."""

ENCODER, DECODER = "#0072b2", "#d55e00"
"""Two of the eight colours that can be told apart with all common kinds of colour blindness (Okabe & Ito 2008)."""

BACKBONE_COLOUR = "#7f858c"
"""Colour of the first task's training, which all methods share."""

OTHER_COLOURS = ("#e69f00", "#56b4e9", "#b3a800")
"""Colours of methods that define none, used in turn."""

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "svg.hashsalt": "stencilnet",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the house style over matplotlib's own defaults, independent of a user's matplotlibrc."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def to_svg(figure: Figure) -> str:
    """Return a figure as SVG text, with the same bytes every time; words are stored as text, not as paths."""
    stream = io.StringIO()
    with styled():
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return printable(stream.getvalue())  # XML forbids control characters


def inline(svg: str, prefix: str) -> str:
    """Prepare an SVG of `to_svg` for an HTML page that has several.

    Its ids get a prefix, so that they differ from those of other figures. Its text and background colours become the
    page's (``var(--ink)`` and so on), so that it follows a dark theme.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", body)
    names = {"ink": INK, "muted": MUTED, "line": LINE, "cell": CELL, "paper": PAPER}
    for name, colour in names.items():
        body = body.replace(colour, f"var(--{name})")
    return body
