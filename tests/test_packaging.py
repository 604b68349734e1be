"""What is declared to be installed is what the source imports, and each extra is named where it is missing."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from stencilnet.errors import PACKAGES, NotInstalledError, explained

ROOT = Path(__file__).parents[1]
COME_ALONG = {"triton", "markupsafe", "starlette"}
"""What PyTorch, Jinja2 and FastAPI install."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[<>=\[ ]", requirement)[0]) for requirement in requirements}


def imported() -> set[str]:
    """Names of the packages of others that the source imports, anywhere in a file."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in found}
    return packages - sys.stdlib_module_names - COME_ALONG - {"stencilnet", "benchmarks"}


def test_every_imported_package_is_a_dependency_or_has_its_extra_named() -> None:
    base = names(PROJECT["dependencies"])
    extras = {extra: names(requirements) for extra, requirements in PROJECT["optional-dependencies"].items()}
    distributions = {name: {normal(each) for each in found} for name, found in packages_distributions().items()}
    others = {name for name in imported() if not distributions.get(name, {normal(name)}) & base}
    assert others == set(PACKAGES)
    assert {name for name in others if not distributions.get(name, {normal(name)}) & extras[PACKAGES[name][1]]} == set()


def test_only_a_missing_package_of_an_extra_is_explained() -> None:
    missing = explained(ModuleNotFoundError("No module named 'scipy'", name="scipy"), "stencil data")
    assert isinstance(missing, NotInstalledError)
    assert str(missing) == "stencil data needs SciPy, which is not installed. Run: pip install 'stencilnet[data]'"
    for bug in (
        ModuleNotFoundError("No module named 'stencilnet.nothing'", name="stencilnet.nothing"),
        ModuleNotFoundError("No module named 'torch.nothing'", name="torch.nothing"),
        ImportError("cannot import name 'nothing' from 'torch'", name="torch"),
    ):
        assert explained(bug, "stencil data") is bug


def test_a_verb_names_its_extra_and_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from stencilnet.cli.main import stencil

    for module, expected in (("yaml", "stencil config show needs PyYAML"), ("stencilnet.config.reading", "import of")):
        with monkeypatch.context() as patched:
            patched.delitem(sys.modules, "stencilnet.config.reading", raising=False)
            patched.setitem(sys.modules, module, None)
            done = CliRunner().invoke(stencil, ["config", "show", "demo/tiny"], prog_name="stencil")
        assert isinstance(done.exception, ModuleNotFoundError | NotInstalledError)
        assert str(done.exception).startswith(expected)
