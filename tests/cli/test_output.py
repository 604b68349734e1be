"""What reaches the terminal: every character somehow, no command to the terminal, and never the end of the work."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import stencilnet as sn
from stencilnet.bundle import TaskRecord, add_task
from stencilnet.bundle.card import write_card
from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import array_of, arrays_of

from ..command_line import Stencil

HOSTILE = "\x1b[2J\x9b31m\u202e <script>alert(1)</script> | a\nlast: ok"
NOT_UTF8 = os.fsdecode(b"caf\xe9.png")

CONFIG = """
title: "Straße 日本 \\e[2J"
methods: [{method: {kind: piggyback}}]
tasks:
  - name: clean
    title: Clean
    task: {kind: restoration}
    data:
      about: scenes
      train: {kind: scenes, count: 4, size: 32}
      test: {kind: scenes, count: 2, size: 32, first: 50}
    view: {crop: 32, test: crop, damage: {kind: blur, sigma: 1.0}}
    recipe: {steps: 1, batch: 2}
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of an untrained task, a config, and photos."""
    folder = tmp_path_factory.mktemp("desk")
    net = sn.MultiTaskNet(sn.UNet(width=2).requires_grad_(False))
    head = {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(3, None).items()}
    state = net.state.add("clean", TaskDelta(head))
    sn.save(
        net.with_state(state, {"clean": TaskRecord(kind="restoration", channels=3, method="backbone")}),
        folder / "bundle",
    )
    (folder / "my.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "photos").mkdir()
    for name in ("a.png", "03日.png", "\x1b[31m.png", "z\n.png", NOT_UTF8):
        Image.new("RGB", (33, 32), "red").save(folder / "photos" / name)
    return folder


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_every_file_is_made_whatever_the_terminal_can_show(
    stencil: Stencil, desk: Path, tmp_path: Path, encoding: str
) -> None:
    done = stencil("run", "bundle", "clean", "photos", "-o", tmp_path / "out", cwd=desk, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "out").glob("*.png"))) == 5
    shown = [line.rpartition("/")[2] for line in done.stdout.splitlines()]
    kanji = "日" if encoding == "utf-8" else r"\u65e5"
    assert set(shown) == {f"03{kanji}.png", "a.png", "caf\\xe9.png", "z\\n.png", "\\x1b[31m.png"}


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_measurements_are_printed_whatever_the_terminal_can_show(stencil: Stencil, desk: Path, encoding: str) -> None:
    done = stencil("evaluate", "bundle", "my.yaml", cwd=desk, encoding=encoding)
    assert done.returncode == 0, done.stderr
    arrow = "↑" if encoding == "utf-8" else r"\u2191"
    assert f"PSNR {arrow}" in done.stdout
    assert "\n  MSE: RGB, 0-255, mean over pixels" in done.stdout


def test_a_shown_config_can_be_read_again(stencil: Stencil, desk: Path, tmp_path: Path) -> None:
    known = stencil("config", "show", "my.yaml", "--json", cwd=desk).stdout
    assert json.loads(known)["title"] == "Straße 日本 \x1b[2J"
    for encoding in ("ascii", "cp1252", "utf-8"):
        shown = stencil("config", "show", "my.yaml", cwd=desk, encoding=encoding).stdout
        (tmp_path / "again.yaml").write_text(shown, encoding=encoding)
        assert stencil("config", "show", tmp_path / "again.yaml", "--json", cwd=desk).stdout == known


def test_a_reader_that_leaves_ends_nothing(desk: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as `head` does once it has its lines
    command = [sys.executable, "-m", "stencilnet", "run", "bundle", "clean", "photos", "-o", tmp_path / "out"]
    done = subprocess.run(command, cwd=desk, stdout=writer, stderr=subprocess.PIPE, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list((tmp_path / "out").glob("*.png"))) == 5


def test_a_closed_stdout_ends_nothing(desk: Path) -> None:
    command = ["sh", "-c", 'exec "$0" -m stencilnet info bundle >&-', sys.executable]
    done = subprocess.run(command, cwd=desk, stderr=subprocess.PIPE, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


def hostile(desk: Path, tmp_path: Path) -> Path:
    """A bundle whose last task says hostile things of itself."""
    bundle = tmp_path / "bundle"
    shutil.copytree(desk / "bundle", bundle)
    net = sn.load(bundle)
    record = TaskRecord(kind=HOSTILE, channels=3, method=HOSTILE, metrics={HOSTILE: 1.0}, provenance={"by": HOSTILE})
    add_task(bundle, "odd", record, net.deltas["clean"], shared=arrays_of(net.state.shared))
    return bundle


def harmless(text: str) -> str:
    assert not {char for char in text if not char.isprintable()} - {"\n", "\t"}, text
    return text


def test_what_a_record_says_does_not_reach_the_terminal_as_a_command(
    stencil: Stencil, desk: Path, tmp_path: Path
) -> None:
    bundle = hostile(desk, tmp_path)
    shown = harmless(stencil("info", bundle, cwd=desk).stdout)
    assert shown.count("\n") == 3  # the backbone, and a line a task
    assert r"\x1b[2J\x9b31m\u202e" in shown
    known = json.loads(harmless(stencil("info", bundle, "--json", cwd=desk).stdout))
    assert known["tasks"]["odd"]["method"] == HOSTILE
    for words in (["verify", bundle], ["run", bundle, "odd", "photos/a.png", "-o", "o.png"], ["merge", bundle, bundle]):
        done = stencil(*words, cwd=desk)
        harmless(done.stdout)
        harmless(done.stderr)


def test_what_a_record_says_is_no_markup_in_the_bundles_page(desk: Path, tmp_path: Path) -> None:
    bundle = hostile(desk, tmp_path)
    odd = bundle.with_name("odd <b>\x1b[31m" + NOT_UTF8)
    bundle.rename(odd)
    write_card(odd)
    page = (odd / "README.md").read_text(encoding="utf-8")
    harmless(page)
    assert not re.search(r"(?<!\\)<", page)
    (row,) = (line for line in page.splitlines() if line.startswith("| odd |"))
    assert row.replace(r"\|", "").count("|") == 5


@pytest.mark.parametrize(
    "words",
    [
        ["info", "\x1b[31mnone"],
        ["train", "\x1b[31mnone.yaml"],
        ["run", "bundle", "\x1b[31m", "photos/a.png", "-o", "o.png"],
        ["run", "bundle", "clean", "\x1b[31mnone.png", "-o", "o.png"],
        ["run", "bundle", "clean", "bad/\x1b[31m.png", "-o", "o.png"],
        ["data", "list", "--root", "\x1b[31m" + NOT_UTF8],
        ["data", "fetch", "\x1b[31m", "--root", "x"],
        ["evaluate", "bundle", "bad/\x1b[31m.yaml"],
    ],
)
def test_names_do_not_reach_the_terminal_as_commands(stencil: Stencil, desk: Path, words: list[str]) -> None:
    (desk / "bad").mkdir(exist_ok=True)
    (desk / "bad" / "\x1b[31m.png").write_bytes(b"no picture")
    (desk / "bad" / "\x1b[31m.yaml").write_text('"\\e[2J": 1\ntasks: ["\\e[2J"]')
    done = stencil(*words, cwd=desk)
    assert r"\x1b[31m" in harmless(done.stdout) + harmless(done.stderr)
