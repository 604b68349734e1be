"""No two public classes or type aliases share a name: one word, one thing."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import stencilnet

SOURCE = Path(stencilnet.__file__).parent
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def classes(tree: ast.Module) -> Iterator[str]:
    """Yield the public classes of a module, and what it calls types."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) if not name.startswith("_"):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) if name[0].isupper() and not name.isupper():
                yield name


def shared(modules: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Return names that several modules give, where one of them gives it to a class."""
    found = defaultdict(list)
    for place, tree in modules.items():
        for name in classes(tree):
            found[name].append(place)
    real = {node.name for tree in modules.values() for node in tree.body if isinstance(node, ast.ClassDef)}
    return {name: places for name, places in found.items() if len(places) > 1 and name in real}


def test_a_shared_name_is_found() -> None:
    one, other = (
        ast.parse("class Row: ...\nclass _Own: ...\nLIMIT = 1"),
        ast.parse("Row = int\nclass _Own: ...\nLIMIT = 2"),
    )
    assert shared({"a": one, "b": other}) == {"Row": ["a", "b"]}


def test_no_two_public_classes_share_a_name() -> None:
    paths = (path for folder in (SOURCE, BENCHMARKS) for path in folder.rglob("*.py"))
    modules = {str(path): ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    assert shared(modules) == {}
