"""Formats rows of text as lines with aligned columns."""

from collections.abc import Sequence

_GAP = "  "


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Return rows as lines, each column as wide as its widest cell, without trailing spaces.

    Args:
        rows: Cells, one per column in each row.
        sides: One character per column: ``<`` aligns left, for words; ``>`` aligns right, for numbers.
    """
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(len(sides))]
    return [
        _GAP.join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]
