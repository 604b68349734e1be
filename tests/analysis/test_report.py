import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from stencilnet.analysis.curves import Curves
from stencilnet.analysis.highlights import highlights
from stencilnet.analysis.report import Picture, Report, Section, to_html, to_json, to_markdown, write_report
from stencilnet.analysis.sections import ReportInputs, compose
from stencilnet.delta import WeightCodes
from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.results import StageResult

HOSTILE = "<script>alert(1)</script> & $x_1$ | `b` \"q\" 'a'"
VOID_TAGS = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Collects what matters, and checks that tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID_TAGS:
            self._open.append(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href"):
                self.links.append(value or "")
            if name == "src":
                self.sources.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID_TAGS:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def material(
    results: tuple[StageResult, ...], masks: dict[str, dict[str, WeightCodes]], curves: dict[str, Curves]
) -> ReportInputs:
    return ReportInputs(
        title=f"Title {HOSTILE}",
        results=results,
        config=f"title: {HOSTILE}\n```\n",
        facts=(("Data", HOSTILE),),
        codes=masks,
        decoder=("up6.weight", "conv9_2.weight"),
        sheets={"coarse": Image.new("RGB", (30, 20), (200, 10, 10))},
        curves={"coarse": curves},
        not_run=(f"EWC: {HOSTILE}",),
    )


@pytest.fixture(scope="module")
def report(material: ReportInputs) -> Report:
    """Its figures take most of the time."""
    return compose(material)


def test_the_page_needs_nothing_else_and_nothing_breaks_out_of_it(report: Report) -> None:
    html = to_html(report)
    page = Page(html)
    assert "script" not in page.tags
    assert HOSTILE in "".join(page.text)
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert all(link.startswith(("#", "data:,", "data:image/png;base64,")) for link in page.links)
    assert not re.search(r"url\((?!#)|@import", html)


def test_every_link_of_the_page_has_its_place_and_no_id_comes_twice(report: Report) -> None:
    page = Page(to_html(report))
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    sections = ["run", "tasks", "results", "forgetting", "sizes", "masks", "pictures", "training", "notes"]
    assert [link[1:] for link in page.links if link[1:] in sections] == sections


def test_the_page_follows_light_and_dark(report: Report) -> None:
    html = to_html(report)
    assert "prefers-color-scheme: dark" in html
    used = set(re.findall(r"var\(--([a-z]+)\)", html))
    dark = html[html.index("prefers-color-scheme: dark") :]
    assert {"ink", "muted", "line", "paper"} <= used
    assert all(f"--{name}:" in dark for name in used)


def test_the_same_material_gives_the_same_page(material: ReportInputs, report: Report) -> None:
    assert to_html(compose(material)) == to_html(report)


def test_a_report_is_written_with_its_pictures(report: Report, tmp_path: Path) -> None:
    page = write_report(report, tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    text = (tmp_path / "out" / "report.md").read_text()
    pictures = re.findall(r"!\[[^\n]*\]\((figures/[^)]+)\)", text)
    names = ["forgetting-finetune", "forgetting-piggyback", "kappa", "zero-ratio-coarse", "zero-ratio-colour"]
    assert [Path(p).stem for p in pictures] == [*names, "pictures-coarse", "training-coarse"]
    assert all((tmp_path / "out" / picture).stat().st_size for picture in pictures)
    assert len(list((tmp_path / "out" / "figures").iterdir())) == len(pictures)
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    (table,) = [t for s in data["sections"] for t in s["tables"] if t["title"].startswith("Table 2")]
    row = next(r for r in table["rows"] if r[0]["text"] == "Task 3 · colouring")
    assert [cell["value"] for cell in row[2:]] == [200.0, 240.0, 260.0]


def test_markdown_keeps_listings_and_tables_whole(report: Report) -> None:
    text = to_markdown(report)
    assert f"````\ntitle: {HOSTILE}\n```\n````" in text
    rows = [line for line in text.splitlines() if line.startswith("| Task 2 · ")]
    assert rows
    assert all(r"\<script\>" in line and r"\|" in line for line in rows)
    beside = text.partition("<details>")[0].splitlines()
    assert not [line for line in beside if re.search(r"(?<!\\)<", line)]
    assert r"# Title \<script\>" in beside[0]


def test_strange_characters_do_not_keep_a_report_from_being_written(material: ReportInputs, tmp_path: Path) -> None:
    strange = "\x1b[2J \u202e \udce9"
    write_report(compose(replace(material, title=strange, facts=(("Command", strange),))), tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert not {char for char in text if not char.isprintable()} - set("\n\t\u00a0\ufffe")
        assert "\\x1b" in text
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["title"] == strange


def test_the_highlights_are_computed(results: tuple[StageResult, ...]) -> None:
    found = dict(highlights(Comparison.of(results), "piggyback"))
    total = (3_700_000 + 3_000 + 2 * 120_000) / 2**20
    assert found[f"{total:.2f} MiB"].startswith(
        "for 3 tasks in one network by Piggyback; one network per task takes 10.59 MiB"
    )
    assert found["117.2 KiB"] == "at most for a further task by Piggyback: 3.2 % of a network"
    assert found["0"].startswith("of 3 numbers of earlier tasks changed while Piggyback learned later ones")
    assert found["0"].endswith("fine-tune changed 2 of 2")


def test_the_first_highlight_is_how_far_fine_tuning_is(results: tuple[StageResult, ...]) -> None:
    """65 for 70 where more is better, and 240 for 200 where less is."""
    (number, words), *_ = highlights(Comparison.of(results), "piggyback")
    assert number == "-13.6 %"
    assert words.startswith("gain over fine-tuning by Piggyback: the mean over ")
    assert "from -20.0 to -7.1 %" in words
    coded = [replace(result, stored=330_900 if result.method == "piggyback" else None) for result in results]
    (_, words), *_ = highlights(Comparison.of(coded), "piggyback")
    assert "by Piggyback, which takes at most 2.86 bits per weight for a task:" in words  # of 3,703,000 / 4 weights
    alone = [result for result in results if result.method != "finetune"]
    assert "fine-tuning by" not in str(highlights(Comparison.of(alone), "piggyback"))


def test_highlights_say_nothing_that_was_not_measured(results: tuple[StageResult, ...]) -> None:
    assert highlights(Comparison.of(results), "decoder") == ()
    assert highlights(Comparison.of(results[:1]), "piggyback") == ()
    assert highlights(Comparison.of([]), "piggyback") == ()


def test_methods_that_changed_nothing_are_said_not_drawn(material: ReportInputs) -> None:
    (forgetting,) = [s for s in compose(replace(material, main="finetune")).sections if s.name == "forgetting"]
    assert [picture.name for picture in forgetting.pictures] == ["forgetting-finetune"]
    assert "With Piggyback, every number of every earlier task stayed exactly the same." in forgetting.text
    assert len(forgetting.folded) == 2


def test_what_was_not_run_is_said(material: ReportInputs) -> None:
    without = [r for r in material.results if (r.method, r.task) != ("piggyback", "colour")]
    (notes,) = [s for s in compose(replace(material, results=tuple(without))).sections if s.name == "notes"]
    assert notes.points[0].startswith("Perceptual network:")
    assert "Piggyback was not run on Task 3 · colouring." in notes.points
    missing = f"The trivial baseline was not measured on Task 1 · fine classes and Task 2 · {HOSTILE}."
    assert missing in notes.points


def test_parts_without_material_are_left_out(results: tuple[StageResult, ...]) -> None:
    names = [section.name for section in compose(ReportInputs(title="t", results=results)).sections]
    assert names == ["run", "tasks", "results", "forgetting", "sizes", "training", "notes"]
    Page(to_html(compose(ReportInputs(title="t", results=results[:1]))))
    assert [s.name for s in compose(ReportInputs(title="t", results=())).sections] == ["run"]


def test_one_mask_is_shown_without_pairs(material: ReportInputs) -> None:
    alone = replace(material, codes={"coarse": material.codes["coarse"]})
    (section,) = [s for s in compose(alone).sections if s.name == "masks"]
    assert len(section.tables) == 1
    assert [picture.name for picture in section.pictures] == ["zero-ratio-coarse"]


def codes_section(report: Report) -> Section:
    (section,) = [s for s in report.sections if s.name == "masks"]
    return section


def test_masks_are_told_as_masks(report: Report) -> None:
    section = codes_section(report)
    assert (section.title, section.text) == (
        "Masks",
        (
            "A mask of Piggyback keeps or drops each weight of the shared network. Its ratio of 0 is the share it "
            "drops.",
        ),
    )
    assert section.tables[0].title == "Table 3. Similarity of the masks: share of weights on which two masks agree"
    kappa, bars, _ = section.pictures
    assert kappa.caption == "How much more similar two masks are than unrelated masks of the same densities."
    assert "share of weights that the mask drops, layer by layer" in bars.caption


def test_codes_are_told_as_codes(material: ReportInputs, changes: dict[str, dict[str, WeightCodes]]) -> None:
    section = codes_section(compose(replace(material, codes=changes, main="quantized_delta")))
    said = [
        *(section.title, *section.text),
        *(words for table in section.tables for words in (table.title, *table.notes)),
        *(words for picture in section.pictures for words in (picture.alt, picture.caption)),
        *re.findall(r">([^<>]+)</text>", "".join(str(picture.data) for picture in section.pictures)),
    ]
    assert not [words for words in said if re.search("mask|bits|ones|drop|switch", words.replace(HOSTILE, ""))]
    assert section.title == "Codes"
    assert section.text == (
        "The codes of quantised delta move each weight of the shared network by a multiple of its layer's step. Their "
        "ratio of 0 is the share that they leave as it is.",
    )
    assert section.tables[0].title.endswith("share of weights on which two tasks' codes agree")
    assert section.pictures[0].alt.startswith("Heat map of Cohen's kappa between every two tasks' codes.")
    assert "share of weights that the codes leave as they are, layer by layer" in section.pictures[1].caption


def test_masks_and_codes_are_not_compared(material: ReportInputs, changes: dict[str, dict[str, WeightCodes]]) -> None:
    section = codes_section(compose(replace(material, codes={**material.codes, "colour": changes["colour"]})))
    assert section.title == "Masks and codes"
    assert len(section.text) == 2
    assert [table.title.split(":")[0] for table in section.tables] == [
        "Table 3. Similarity of the masks",
        "Table 3. Similarity of the codes",
    ]
    assert [picture.name for picture in section.pictures] == ["zero-ratio-coarse", "zero-ratio-colour"]


def test_json_holds_every_section(report: Report) -> None:
    data = to_json(report)
    json.dumps(data, allow_nan=False)
    assert [s["name"] for s in data["sections"]] == [s.name for s in report.sections]


def test_names_that_clash_or_break_are_refused() -> None:
    with pytest.raises(ValueError, match="picture's `name` to match"):
        Picture(name="../a", alt="", caption="", data=b"")
    section = Section(name="a", title="A")
    with pytest.raises(ValueError, match="different names, but a occurs twice"):
        Report(title="t", summary="", highlights=(), sections=(section, section))
