"""The scripts behind the published pages: each is planned from its configs, and the tables come out as they stand."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from stencilnet.config.converting import make_converter
from stencilnet.config.reading import read_config, to_plain
from stencilnet.config.schema import Experiment
from stencilnet.methods import AnyMethod, registered

DOCS = Path(__file__).parents[2] / "docs"
UNPLANNED = ("page.py", "pages.py", "reference.py", "rooms.py", "sample.py")
"""Those that train nothing; another test compares the sample, which two of them show, with its config."""
SCRIPTS = sorted(path for path in DOCS.rglob("*.py") if path.name not in UNPLANNED)
STUDIES = [path for path in SCRIPTS if path.name == "study.py"]
REPORTS = [path for path in SCRIPTS if path.name == "report.py"]
TABLES = [*REPORTS, DOCS / "results" / "table2.py"]


def named(path: Path) -> str:
    return str(path.relative_to(DOCS))


def module(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as its own folder sees it: a report imports the study beside it."""
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])  # a report adds the folder of what it shares
    monkeypatch.delitem(sys.modules, "study", raising=False)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, loaded)
    spec.loader.exec_module(loaded)
    return loaded


def test_there_are_scripts() -> None:
    found = {named(path) for path in SCRIPTS}
    assert {"picture.py", "results/table2.py", "results/publish.py"} <= found
    assert {named(path) for path in STUDIES} >= {"results/quality/study.py", "results/first-task/study.py"}
    assert len(REPORTS) == len(STUDIES)


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path not in REPORTS], ids=named)
def test_it_is_planned_without_data(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    cells: list[dict[str, Any]] = module(path, monkeypatch).plan()
    assert cells
    convert = make_converter()
    for text in {
        json.dumps(config, sort_keys=True) for config in {id(c["config"]): c["config"] for c in cells}.values()
    }:
        whole = convert.structure(json.loads(text), Experiment)
        assert json.dumps(to_plain(whole), sort_keys=True) == text
    for cell in cells:
        tasks = [plan["name"] for plan in cell["config"]["tasks"]]
        assert cell.get("task", tasks[0]) in tasks
        if cell.get("method") is not None:
            assert convert.structure(cell["method"], AnyMethod).name in registered()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", TABLES, ids=named)
def test_the_pages_are_those_of_the_cells(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = module(path, monkeypatch)
    made: dict[Path, str] = script.made()
    assert made
    for place, text in made.items():
        assert place.read_text(encoding="utf-8") == text, f"{place} is not what {path} makes"
    into = {tmp_path / place.name: text for place, text in made.items()}
    monkeypatch.setattr(script, "made", lambda *_: into)
    monkeypatch.setattr(sys, "argv", [str(path)])
    script.main()
    assert {place.name: place.read_text(encoding="utf-8") for place in tmp_path.iterdir()} == {
        place.name: text for place, text in made.items()
    }


def test_published_cells_can_be_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    quality = module(DOCS / "results" / "quality" / "study.py", monkeypatch)
    for setting in quality.SETTINGS:
        lines = (DOCS / "results" / "quality" / f"{setting}.jsonl").read_text().splitlines()
        cells = [quality.Cell(*(json.loads(line)[name] for name in quality.Cell._fields)) for line in lines]
        assert len(set(cells)) == len(cells)
        for cell in {cell._replace(rate=quality.RATES[0], seed=0, test=True) for cell in cells}:
            assert quality.planned(cell)["config"]
    first = module(DOCS / "results" / "first-task" / "study.py", monkeypatch)
    lines = (DOCS / "results" / "first-task" / "cells.jsonl").read_text().splitlines()
    found = {tuple(json.loads(line)[key] for key in ("backbone", "method", "task")) for line in lines}
    assert found <= set(first.wanted())


@pytest.mark.parametrize(
    ("name", "words", "cells"),
    [
        ("quality", ["screen", "photos", "out", "--arms", "scratch"], {("arm", "scratch"), ("task", "colour")}),
        ("first-task", ["nowhere", "out"], {("named", "trivial"), ("named", "piggyback")}),
    ],
)
def test_a_dry_run_prints_cells_and_leaves_nothing(
    name: str,
    words: list[str],
    cells: set[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["study.py", *words, "--dry-run"])
    module(DOCS / "results" / name / "study.py", monkeypatch).main()
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert cells <= {pair for cell in found for pair in cell.items() if isinstance(pair[1], str)}
    assert all(cell["config"]["tasks"] for cell in found)
    assert list(tmp_path.iterdir()) == []


def test_configs_in_the_docs_are_read() -> None:
    found = sorted(DOCS.rglob("*.yaml"))
    assert found
    for path in found:
        assert read_config(str(path)).tasks
        assert isinstance(yaml.safe_load(path.read_text()), dict)
