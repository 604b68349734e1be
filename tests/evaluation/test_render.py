import json
import math
from xml.etree import ElementTree

import pytest

from stencilnet.evaluation.render import Cell, Table, number_texts, to_html, to_json, to_markdown, to_text, words

TABLE = Table(
    title="Results <1>",
    columns=("task", "a|b", "c"),
    rows=(
        (Cell(text="x & y"), Cell(text="61.45", value=61.451, best=True), Cell(text="-")),
        (Cell(text="z*"), Cell(text="1.87", value=1.87), Cell(text="nan", value=math.nan)),
    ),
    notes=("more <b> is better",),
)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((61.451, 1.874, None), ("61.45", "1.87", "-")),
        ((0.91384, 0.5), ("0.9138", "0.5000")),
        ((413833.4, 405893.0), ("413,833", "405,893")),
        ((244.0, 870.18), ("244.00", "870.18")),
        ((3.52345, 0.11), ("3.523", "0.110")),
        ((-12.345, 12.3), ("−12.35", "12.30")),
        ((500.0, 0.0012), ("500.00", "0.0012")),
        ((500.0, -0.0012, 0.0, -0.0), ("500.00", "−0.0012", "0.00", "0.00")),
        ((math.nan, math.inf, 2.0), ("nan", "inf", "2.000")),
        ((), ()),
    ],
)
def test_numbers_of_a_row_share_their_decimals(values: tuple[float | None, ...], texts: tuple[str, ...]) -> None:
    assert number_texts(values) == texts


def test_an_outlier_beside_the_row_does_not_set_its_decimals() -> None:
    assert number_texts([214.81, 203.39, 84210.0], like=[214.81, 203.39]) == ("214.81", "203.39", "84,210.00")
    assert number_texts([None, 84210.0], like=[None]) == ("-", "84,210")


def test_markdown() -> None:
    assert to_markdown(TABLE).splitlines() == [
        r"**Results \<1\>**",
        "",
        r"| task | a\|b | c |",
        "| :--- | ---: | ---: |",
        "| x & y | **61.45** | - |",
        r"| z\* | 1.87 | nan |",
        "",
        r"- more \<b\> is better",
    ]


def test_html_is_well_formed_and_escaped() -> None:
    root = ElementTree.fromstring(to_html(TABLE))
    assert root.findtext("figcaption") == "Results <1>"
    assert [th.text for th in root.iter("th")] == ["task", "a|b", "c", "x & y", "z*"]
    assert [strong.text for strong in root.iter("strong")] == ["61.45"]
    assert [td.get("class") for td in root.iter("td")] == ["number"] * 4
    assert root.findtext("ul/li") == "more <b> is better"
    assert root.find("div").get("class") == "scroll"


def test_text_is_aligned() -> None:
    assert to_text(TABLE).splitlines() == [
        "Results <1>",
        "------------------",
        "task      a|b    c",
        "------------------",
        "x & y  61.45*    -",
        "z*       1.87  nan",
        "more <b> is better",
    ]


def test_json_keeps_numbers_unrounded() -> None:
    plain = json.loads(json.dumps(to_json(TABLE), allow_nan=False))
    assert plain["columns"] == ["task", "a|b", "c"]
    assert plain["rows"][0][1] == {"text": "61.45", "value": 61.451, "best": True}
    assert plain["rows"][1][2] == {"text": "nan", "value": "nan", "best": False}


def test_a_ragged_table_is_refused() -> None:
    with pytest.raises(ValueError, match="rows of table 't' to have 2 cells, but got 1"):
        Table(title="t", columns=("a", "b"), rows=(words("x"),))
