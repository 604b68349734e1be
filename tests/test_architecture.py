"""The page on the architecture shows the packages as they are."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from stencilnet.analysis.drawing import to_svg

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rooms", DOCS / "rooms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_drawn_from_the_imports(rooms: ModuleType) -> None:
    drawn = to_svg(rooms.picture(rooms.imports(), rooms.shipped()))
    assert (DOCS / "rooms.svg").read_text(encoding="utf-8") == drawn, "Draw it again: python docs/rooms.py"


def test_packages_without_pytorch_are_coloured(rooms: ModuleType) -> None:
    assert {"bundle", "delta", "kinds", "pictures", "runtime"} <= rooms.shipped() <= set(rooms.imports())


def test_the_page_lists_every_package(rooms: ModuleType) -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1].removesuffix(".py") for line in page.splitlines() if line.startswith("| `")]
    assert set(rooms.imports()) <= set(listed)
    assert len(listed) == len(set(listed)), "a package is listed twice"


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name)
def test_no_paragraph_stands_twice(page: Path) -> None:
    topics = [line.split("**")[1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("**")]
    assert len(topics) == len(set(topics))


def test_an_arrow_that_others_imply_is_left_out(rooms: ModuleType) -> None:
    imports = {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()}
    assert rooms.direct(imports) == {"a": ["b"], "b": ["c"], "c": []}
    assert rooms.levels(imports) == {"a": 2, "b": 1, "c": 0}
