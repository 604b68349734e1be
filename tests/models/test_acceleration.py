"""Fast paths are offered only where they work."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stencilnet.models.acceleration import can_compile, has_fast_bf16

_PROCESSOR = """
import torch
from stencilnet.models.acceleration import has_fast_bf16
print(has_fast_bf16("cpu"))
"""

_ASK = """
import logging
from stencilnet.models.acceleration import can_compile
logging.basicConfig()
print(can_compile("cpu"))
"""


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"bf16": True}, True)],
)
def test_bf16_is_fast_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    has_fast_bf16.cache_clear()
    try:
        assert has_fast_bf16("cpu") is expected
    finally:
        has_fast_bf16.cache_clear()


def test_the_option_bf16_of_these_tests_holds_here_and_in_what_they_start(pytestconfig: pytest.Config) -> None:
    answer = pytestconfig.getoption("--bf16")
    started = subprocess.run(
        [sys.executable, "-c", _PROCESSOR], capture_output=True, text=True, timeout=120, check=True
    )
    assert started.stdout == f"{has_fast_bf16('cpu')}\n"
    assert answer in ("found", "other") or has_fast_bf16("cpu") is (answer == "yes")


def test_a_pytorch_that_does_not_tell_has_no_fast_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    has_fast_bf16.cache_clear()
    try:
        assert not has_fast_bf16("cpu")
    finally:
        has_fast_bf16.cache_clear()


def test_apples_gpus_have_neither() -> None:
    assert not has_fast_bf16("mps")
    assert not can_compile("mps")


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["compiler", "place to write"])
def test_where_it_does_not_work_it_is_said_once(lacking: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    cache, path = (tmp_path, str(tmp_path)) if lacking == "compiler" else (file / "below", os.environ["PATH"])
    bare = {"PATH": path, "TORCHINDUCTOR_CACHE_DIR": str(cache), "HOME": str(tmp_path)}
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "LD_"))}
    done = subprocess.run([sys.executable, "-c", _ASK], env=kept | bare, capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr
    assert done.stderr.count("torch.compile does not work here") == 1


@pytest.mark.slow
def test_what_works_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    can_compile.cache_clear()  # what does not work is said once, and may have been
    with caplog.at_level(logging.WARNING, logger="stencilnet"):
        worked = can_compile("cpu")
    assert worked is not any(record.name.startswith("stencilnet") for record in caplog.records)
