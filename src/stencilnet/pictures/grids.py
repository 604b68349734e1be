"""Contact sheets: examples in rows; input, target and each method's output in columns (the paper, Figs. 4-8)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stencilnet.pictures.labels import VOID

RGB = tuple[int, int, int]

_INK, _QUIET, _PAPER, _EMPTY = (31, 35, 41), (98, 104, 111), (255, 255, 255), (236, 238, 241)
_GAP, _MARGIN, _LINE, _SWATCH = 8, 12, 24, 14
_TEXT_SIZE = 14
_LEAST_SIDE, _MOST_SIDE = 160, 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """The content of a contact sheet.

    Attributes:
        columns: Column heads: input, target, each method.
        rows: Pictures of each example, one per column; None leaves a gap.
        legend: Name and colour of each class, for label pictures.
        feet: Lines of text below each column, equally many for all columns; may be empty.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Image.Image | None, ...], ...]
    legend: Mapping[str, RGB] = field(default_factory=dict)
    feet: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.rows or not self.columns:
            raise ValueError("Expected a contact sheet to have at least one column and one row.")
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Expected row {number} of the contact sheet to have {len(self.columns)} pictures "
                    f"({', '.join(self.columns)}), but got {len(row)}."
                )
        if self.feet and (len(self.feet) != len(self.columns) or len({len(lines) for lines in self.feet}) > 1):
            raise ValueError(
                f"Expected equally many lines below each of the {len(self.columns)} columns of the contact sheet, but "
                f"got {[len(lines) for lines in self.feet]}."
            )


def class_legend(classes: Sequence[str], pictures: Iterable[Image.Image | None]) -> dict[str, RGB]:
    """Return name and colour of the classes that occur in indexed pictures, void last.

    Args:
        classes: Names of classes by index.
        pictures: Label pictures with a common palette; pictures that are not indexed (mode ``P``) are skipped.
    """
    names = {**dict(enumerate(classes)), VOID: "void"}
    found: dict[int, RGB] = {}
    for picture in pictures:
        if picture is None or picture.mode != "P":
            continue
        levels = picture.getpalette() or []
        for index in np.unique(np.asarray(picture)).tolist():
            red, green, blue = levels[3 * index : 3 * index + 3]
            found[index] = (red, green, blue)
    return {names[index]: found[index] for index in sorted(found) if index in names}


def contact_sheet(sheet: Sheet) -> Image.Image:
    """Draw a contact sheet.

    Small pictures are enlarged by an integer factor without smoothing; large ones are reduced. Label pictures are never
    smoothed.

    Returns:
        An RGB picture.
    """
    rows = [[None if picture is None else _fitted(picture) for picture in row] for row in sheet.rows]
    font = ImageFont.load_default(_TEXT_SIZE)
    sizes = [picture.size for row in rows for picture in row if picture is not None] or [(_LEAST_SIDE, _LEAST_SIDE)]
    cell = max(width for width, _ in sizes)
    heights = [max((picture.height for picture in row if picture is not None), default=cell) for row in rows]
    width = 2 * _MARGIN + len(sheet.columns) * (cell + _GAP) - _GAP
    places = _legend_places(sheet.legend, font, width)
    legend_height = (max(line for _, line in places) + 1) * _LINE if places else 0
    feet_height = len(sheet.feet[0]) * _LINE if sheet.feet else 0
    height = 2 * _MARGIN + _LINE + sum(heights) + _GAP * (len(rows) - 1) + feet_height + legend_height
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for place, head in enumerate(sheet.columns):
        draw.text((_MARGIN + place * (cell + _GAP), _MARGIN), _short(head, font, cell), _INK, font)
    top = _MARGIN + _LINE
    for row, row_height in zip(rows, heights, strict=True):
        for place, picture in enumerate(row):
            left = _MARGIN + place * (cell + _GAP)
            if picture is None:
                draw.rectangle((left, top, left + cell - 1, top + row_height - 1), fill=_EMPTY)
                draw.text((left + cell / 2, top + row_height / 2), "-", _QUIET, font, anchor="mm")
            else:
                canvas.paste(picture, (left, top))
        top += row_height + _GAP
    for place, lines in enumerate(sheet.feet):
        for number, line in enumerate(lines):
            left = _MARGIN + place * (cell + _GAP)
            draw.text((left, top - 2 + number * _LINE), _short(line, font, cell), _INK, font)
    _draw_legend(draw, sheet.legend, places, font, top + feet_height + 2)
    return canvas


def _fitted(picture: Image.Image) -> Image.Image:
    """Return an RGB picture whose longer side is at most 256; small pictures are enlarged to about 160 or more."""
    longer = max(picture.size)
    if longer <= _MOST_SIDE:
        factor = max(1, min(-(-_LEAST_SIDE // longer), _MOST_SIDE // longer))
        size = (picture.width * factor, picture.height * factor)
        return picture.resize(size, Image.Resampling.NEAREST).convert("RGB")
    size = (max(1, picture.width * _MOST_SIDE // longer), max(1, picture.height * _MOST_SIDE // longer))
    if picture.mode == "P":
        return picture.resize(size, Image.Resampling.NEAREST).convert("RGB")
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _short(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Cut a text to the width, with dots at the end."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _legend_places(
    legend: Mapping[str, RGB], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[tuple[int, int]]:
    """Return the left edge and the line of each legend entry, wrapped to the sheet's width."""
    places, left, line = [], _MARGIN, 0
    for name in legend:
        needed = _SWATCH + 6 + int(font.getlength(name)) + 18
        if left > _MARGIN and left + needed > width:
            left, line = _MARGIN, line + 1
        places.append((left, line))
        left += needed
    return places


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    legend: Mapping[str, RGB],
    places: Sequence[tuple[int, int]],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    top: int,
) -> None:
    for (name, colour), (left, line) in zip(legend.items(), places, strict=True):
        y = top + line * _LINE
        draw.rectangle((left, y + 2, left + _SWATCH, y + 2 + _SWATCH), fill=colour, outline=_QUIET)
        draw.text((left + _SWATCH + 6, y + 1), name, _INK, font)
