"""A report as plain data, and its output as one HTML page, as Markdown with picture files, and as JSON."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stencilnet.analysis.drawing import inline
from stencilnet.evaluation import render
from stencilnet.evaluation.render import Table
from stencilnet.storage import write_file, write_text
from stencilnet.text.escaping import markdown, printable
from stencilnet.text.strict_json import dumps

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure.

    Attributes:
        name: File name without suffix, and id in the page: lower-case letters, digits, ``.``, ``_``, ``-``.
        alt: Alternative text, for readers who cannot see the picture.
        caption: Caption below the picture.
        data: SVG text from `drawing.to_svg`, or PNG bytes.
    """

    name: str
    alt: str
    caption: str
    data: str | bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"Expected a picture's `name` to match {_NAME.pattern}, but got {self.name!r}.")

    @property
    def file(self) -> str:
        """File name."""
        return f"{self.name}.svg" if isinstance(self.data, str) else f"{self.name}.png"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of a report, shown in the order of its attributes.

    Attributes:
        name: Id in the page, of the form of a picture's name.
        title: Heading.
        text: Paragraphs.
        facts: Names and values.
        points: Sentences of a bullet list.
        tables: Tables that are always visible.
        pictures: Figures.
        folded: Tables that are collapsed at first.
        listing: Title and verbatim text of a collapsed block; None for none.
    """

    name: str
    title: str
    text: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    folded: tuple[Table, ...] = ()
    listing: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report.

    Attributes:
        title: Title of the page.
        summary: One paragraph under the title.
        highlights: Numbers at the top of the page, each with its label.
        sections: The sections, in order.
    """

    title: str
    summary: str
    highlights: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        names = [*(section.name for section in self.sections), *(picture.name for picture in self.pictures)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"Expected sections and pictures to have different names, but {', '.join(twice)} occurs twice."
            )

    @property
    def pictures(self) -> Iterator[Picture]:
        """All pictures, in order."""
        return (picture for section in self.sections for picture in section.pictures)


def to_html(report: Report) -> str:
    """Return a self-contained page without other files, network access or scripts. Everything is escaped."""
    environment = Environment(
        loader=PackageLoader("stencilnet", "analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["table"] = lambda table: Markup(render.to_html(table))
    environment.filters["picture"] = _picture_html
    return environment.get_template("report.html").render(report=report)


def _picture_html(picture: Picture) -> Markup:
    if isinstance(picture.data, str):
        svg = Markup(inline(picture.data, picture.name))
        return Markup('<div class="drawing" role="img" aria-label="{}">{}</div>').format(picture.alt, svg)
    encoded = base64.b64encode(picture.data).decode()
    return Markup('<div class="sheet"><img alt="{}" src="data:image/png;base64,{}"></div>').format(picture.alt, encoded)


def to_markdown(report: Report, pictures: str = "figures") -> str:
    """Return the report as Markdown.

    Args:
        report: The report.
        pictures: Folder of the pictures, relative to the Markdown file. Default: ``figures``.
    """
    blocks = [f"# {markdown(report.title)}", markdown(report.summary)]
    blocks += (
        ["\n".join(f"- **{markdown(value)}** {markdown(label)}" for value, label in report.highlights)]
        if report.highlights
        else []
    )
    for section in report.sections:
        blocks += [f"## {markdown(section.title)}", *map(markdown, section.text)]
        facts = [f"- {markdown(name)}: {markdown(value)}" for name, value in section.facts]
        points = [f"- {markdown(point)}" for point in section.points]
        blocks += ["\n".join(lines) for lines in (facts, points) if lines]
        blocks += [render.to_markdown(table).strip() for table in section.tables]
        blocks += [f"![{markdown(p.alt)}]({pictures}/{p.file})\n\n*{markdown(p.caption)}*" for p in section.pictures]
        blocks += [render.to_markdown(table).strip() for table in section.folded]
        if section.listing:
            title, text = section.listing
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            folded = (
                f"<details><summary>{Markup.escape(title)}</summary>\n\n{fence}\n{text.rstrip()}\n{fence}\n\n</details>"
            )
            blocks.append(folded)
    return "\n\n".join(blocks) + "\n"


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON data, with unrounded numbers in tables and pictures by file name."""
    return {
        "title": report.title,
        "summary": report.summary,
        "highlights": [{"value": value, "label": label} for value, label in report.highlights],
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "text": list(section.text),
                "facts": dict(section.facts),
                "points": list(section.points),
                "tables": [render.to_json(table) for table in (*section.tables, *section.folded)],
                "pictures": [{"file": p.file, "alt": p.alt, "caption": p.caption} for p in section.pictures],
                "listing": section.listing[1] if section.listing else None,
            }
            for section in report.sections
        ],
    }


def write_report(report: Report, folder: Path) -> Path:
    """Write ``report.html``, ``report.md``, ``report.json`` and the folder ``figures``; return the page's path."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for picture in report.pictures:
        data = picture.data.encode() if isinstance(picture.data, str) else picture.data
        write_file(figures / picture.file, data, sync=False)
    texts = {
        "report.md": printable(to_markdown(report, figures.name)),
        "report.json": dumps(to_json(report), indent=2, ensure_ascii=False) + "\n",
        "report.html": printable(to_html(report)),
    }
    for name, text in texts.items():
        write_text(folder / name, text, sync=False)
    return folder / "report.html"
