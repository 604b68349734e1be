"""The description in /openapi.json is complete and true: schemathesis tries what it says, and what it rules out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Server, Start

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def teacher(start: Start) -> Server:
    return start("--teach")


@pytest.mark.slow
def test_schemathesis_finds_nothing(server: Server, tmp_path: Path) -> None:
    tried(server, tmp_path, "--phases", "coverage,fuzzing,stateful")


@pytest.mark.slow
def test_schemathesis_finds_nothing_in_teaching(teacher: Server, tmp_path: Path) -> None:
    known = "ensure_resource_availability"  # a new lesson takes the place of the last one
    only = ("--include-path-regex", "^/v1/teaching", "--exclude-checks", known)
    tried(teacher, tmp_path, "--phases", "fuzzing,stateful", *only)


def tried(server: Server, folder: Path, *options: str) -> None:
    command = [
        Path(sys.executable).with_name("schemathesis"),
        *("run", f"{server.url}/openapi.json", "--seed", "1", "--max-examples", "10", "--no-color"),
        *options,
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "no_proxy": "127.0.0.1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=280)
    assert done.returncode == 0, done.stdout[-10000:] + done.stderr
    assert server.client.get("/healthz").json() == {"status": "ok", "problem": ""}


def test_every_operation_is_described(teacher: Server) -> None:
    found = teacher.client.get("/openapi.json").json()
    operations = {f"{method.upper()} {path}" for path, item in found["paths"].items() for method in item}
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    listed = {
        line.split("`")[1].partition("?")[0] for line in page.splitlines() if line.startswith(("| `G", "| `P", "| `D"))
    }
    assert {re.sub("{(job|lesson)}", "{id}", operation) for operation in operations} == listed
