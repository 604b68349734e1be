"""The tutorial works from top to bottom; it trains fewer steps here."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ..command_line import Stencil
from .conftest import Start

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", PAGE, flags=re.DOTALL)
SERVE = "stencil serve mine"
ADDRESS = "http://127.0.0.1:8080"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_tutorial_works_from_top_to_bottom(
    stencil: Stencil, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    url, said = "", {}
    for language, block in BLOCKS:
        if language == "python":
            exec(block, names)
            continue
        for line in block.splitlines():
            command = line.partition("#")[0].strip().replace("--minutes 3", "--steps 20").replace(ADDRESS, url)
            if command == SERVE:
                url = start(bundle=tmp_path / "mine").url
            elif command.startswith("stencil"):
                done = stencil(*shlex.split(command)[1:], cwd=tmp_path)
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
                said[command] = done.stdout
            else:
                subprocess.run(shlex.split(command), check=True, cwd=tmp_path, capture_output=True)
    assert "revive" in said["stencil info mine"]
    faded, revived = Image.open("unseen/before/50.png"), Image.open("revived.png")
    assert revived.size == faded.size
    assert revived.tobytes() == Image.open("revived/50.png").tobytes() != faded.tobytes()
    assert Path("revive.zip").stat().st_size < 200_000 < Path("revive.onnx").stat().st_size


def test_every_address_is_the_servers_default() -> None:
    assert PAGE.count(ADDRESS) == 2
    assert SERVE in PAGE
