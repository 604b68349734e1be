"""The reference of the Python API can be made, and holds every public name with a description."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import stencilnet

SCRIPT = Path(__file__).parents[1] / "docs" / "reference.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    command = [sys.executable, "-W", "error::UserWarning", str(SCRIPT), str(folder)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.parametrize("name", stencilnet.__all__)
def test_every_public_name_is_described(pages: Path, name: str) -> None:
    page = (pages / "stencilnet.html").read_text(encoding="utf-8")
    section = page.partition(f'<section id="{name}">')[2].partition("</section>")[0]
    assert '<div class="docstring">' in section


def test_pages_load_nothing_from_other_hosts(pages: Path) -> None:
    found = list(pages.rglob("*.html"))
    assert len(found) > 5
    for page in found:
        assert not re.findall(r'(?:src|href)="https?://(?!pdoc\.dev)', page.read_text(encoding="utf-8")), page.name
