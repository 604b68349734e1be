"""Rows of text as lines whose columns are aligned."""

from collections.abc import Sequence

_GAP = "  "


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Return rows as lines, each column as wide as its widest cell, without spaces at their ends.

    Args:
        rows: Cells, as many in each row as there are columns.
        sides: A character a column: ``<`` for words, on the left; ``>`` for numbers, on the right.
    """
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(len(sides))]
    return [
        _GAP.join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]
