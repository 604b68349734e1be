"""A table as plain data, and its output as Markdown, HTML, text and JSON."""

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stencilnet.text.columns import aligned
from stencilnet.text.escaping import markdown, one_line
from stencilnet.text.strict_json import json_data

DASH = "-"
"""Placeholder where nothing was measured."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: The text shown.
        value: The unrounded number; None for words and for what was not measured.
        best: Whether it is the best of its row.
    """

    text: str
    value: float | None = None
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: Heading.
        columns: Column heads.
        rows: Rows of cells, one cell per column.
        words: Number of columns, from the left, that hold words; the others hold numbers. Default: 1.
        breaks: Indices of the rows that begin a new block.
        notes: Footnotes.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: int = 1
    breaks: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Expected the rows of table {self.title!r} to have {len(self.columns)} cells, but got {len(row)}."
                )


def words(*texts: str) -> tuple[Cell, ...]:
    """Return cells of texts without numbers."""
    return tuple(Cell(text=text) for text in texts)


def number_texts(values: Sequence[float | None], like: Sequence[float | None] = ()) -> tuple[str, ...]:
    """Format comparable numbers with the same number of decimals: about four digits for the largest one.

    A number that these decimals would round to zero keeps two significant digits.

    Args:
        values: The numbers; None becomes a dash.
        like: The numbers that set the number of decimals; all by default.
    """
    known = [value for value in like or values if value is not None] or [v for v in values if v is not None]
    finite = [abs(value) for value in known if math.isfinite(value)]
    largest = max(finite, default=0.0)
    decimals = next((d for limit, d in ((10_000, 0), (10, 2), (1, 3)) if largest >= limit), 4)
    return tuple(_number_text(value, decimals) for value in values)


def number_cells(values: Sequence[float | None], like: Sequence[float | None] = ()) -> tuple[Cell, ...]:
    """Return cells of comparable numbers; see `number_texts`."""
    texts = number_texts(values, like)
    return tuple(Cell(text=text, value=value) for text, value in zip(texts, values, strict=True))


def _number_text(value: float | None, decimals: int) -> str:
    if value is None:
        return DASH
    if not math.isfinite(value):
        return str(value)
    text = f"{value:,.{decimals}f}"
    if value != 0 and not re.search("[1-9]", text):
        return f"{value:.2g}".replace("-", "−")
    return text.replace("-", "−") if re.search("[1-9]", text) else text.lstrip("-")


def to_markdown(table: Table) -> str:
    """Return a GitHub-flavoured Markdown table with a bold title above and its notes below."""
    heads = [markdown(column) for column in table.columns]
    rules = [":---" if place < table.words else "---:" for place in range(len(table.columns))]
    body = [[f"**{markdown(cell.text)}**" if cell.best else markdown(cell.text) for cell in row] for row in table.rows]
    lines = [_pipes(line) for line in (heads, rules, *body)]
    notes = [f"- {markdown(note)}" for note in table.notes]
    return "\n".join([f"**{markdown(table.title)}**", "", *lines, *([""] if notes else []), *notes]) + "\n"


def to_html(table: Table) -> str:
    """Return a ``<figure>`` that scrolls sideways if it is too wide; everything is escaped."""
    heads = "".join(
        f'<th scope="col"{_class(place, table)}>{_html_text(column)}</th>' for place, column in enumerate(table.columns)
    )
    body = "\n".join(_html_row(number, table) for number in range(len(table.rows)))
    items = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    notes = f'<ul class="notes">{items}</ul>' if items else ""
    return (
        f'<figure class="table"><figcaption>{html.escape(table.title)}</figcaption>\n'
        f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
        f"</table></div>\n{notes}</figure>"
    )


def to_text(table: Table) -> str:
    """Return the table as plain text with aligned columns; a star marks the best of a row."""
    cells = [[f"{cell.text}*" if cell.best else cell.text for cell in row] for row in table.rows]
    lines = [[one_line(text) for text in line] for line in [[*table.columns], *cells]]
    head, *body = aligned(lines, "<" * table.words + ">" * (len(table.columns) - table.words))
    rule = "-" * max(map(len, [head, *body]))
    return "\n".join([table.title, rule, head, rule, *body, *table.notes]) + "\n"


def to_json(table: Table) -> dict[str, Any]:
    """Return the table as JSON data: numbers unrounded (``inf`` as a string), null where nothing was measured."""
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": [[{"text": c.text, "value": json_data(c.value), "best": c.best} for c in row] for row in table.rows],
        "notes": list(table.notes),
    }


def _class(place: int, table: Table) -> str:
    if place >= table.words:
        return ' class="number"'
    # Words are labels if the table has numbers; a table of words only needs line breaks.
    return ' class="label"' if table.words < len(table.columns) else ""


def _html_row(number: int, table: Table) -> str:
    block = ' class="block"' if number in table.breaks else ""
    return f"<tr{block}>{''.join(_html_cell(cell, p, table) for p, cell in enumerate(table.rows[number]))}</tr>"


def _html_cell(cell: Cell, place: int, table: Table) -> str:
    text = _html_text(cell.text)
    if place == 0:
        return f'<th scope="row">{text}</th>'
    return f"<td{_class(place, table)}>{f'<strong>{text}</strong>' if cell.best else text}</td>"


def _html_text(text: str) -> str:
    """Escape a text, and keep arrows and footnote numbers on the line of their word."""
    return re.sub(" (?=[↑↓⁰¹²³⁴⁵⁶⁷⁸⁹])", "\u00a0", html.escape(text))


def _pipes(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"
