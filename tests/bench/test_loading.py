"""`stencil bench` finds the benchmarks in a checkout, and elsewhere says where they are."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stencilnet.cli.main import stencil as group

from ..command_line import Stencil

WHERE = "the benchmarks, which are in the repository of stencilnet and not in the package"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package were installed without its repository."""
    monkeypatch.setattr("stencilnet.cli.bench.FOLDER", tmp_path / "benchmarks")
    monkeypatch.delitem(sys.modules, "benchmarks", raising=False)


def test_a_checkout_has_them_and_the_path_stays_as_it_is(tmp_path: Path) -> None:
    probe = (
        "import sys; from stencilnet.cli.bench import load_benchmarks\n"
        "before = list(sys.path); load_benchmarks(); load_benchmarks()\n"
        "import benchmarks; print(sys.path == before, benchmarks.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    expected = Path(__file__).parents[2] / "benchmarks" / "__init__.py"
    assert done.stdout == f"True {expected}\n", done.stderr


@pytest.mark.usefixtures("installed")
def test_elsewhere_one_line_says_where_they_are(stencil: Stencil) -> None:
    done = stencil("bench", "--row", "switch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"stencil bench needs {WHERE}.")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("installed")
def test_elsewhere_help_says_so_instead_of_naming_rows() -> None:
    done = CliRunner().invoke(group, ["bench", "--help"], terminal_width=500, max_content_width=500)
    assert done.exit_code == 0
    assert f"may be repeated: (stencil bench needs {WHERE}." in done.output
