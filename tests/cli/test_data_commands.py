"""`stencil data`: what is listed, fetched from a mirror, and made; on which stream, with which exit code."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from stencilnet.cli.data import Meter
from stencilnet.cli.main import main
from stencilnet.data.fetching.catalog import CAMVID
from stencilnet.data.fetching.problems import human_bytes
from stencilnet.data.official import LAYOUTS

from ..data.fetching_server import Server, web_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    Image.effect_noise((200, 160), 90).convert("RGB").save(tmp_path / "painting.jpg")
    with web_server() as running:
        for name in ("starry_night.jpg", "the_scream.jpg"):
            running.serve(name, (tmp_path / "painting.jpg").read_bytes())
        yield running


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Stencil = Callable[..., Done]


@pytest.fixture
def stencil(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stencil]:
    """The command line, in this process: one that is new loads torch each time."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    logger = logging.getLogger("stencilnet")
    handlers, level = logger.handlers[:], logger.level

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["stencil", "data", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        return Done(int(left.value.code or 0), *capsys.readouterr())

    yield run
    logger.handlers, logger.level = handlers, level


def test_fetch_from_a_mirror_then_list(stencil: Stencil, server: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = stencil("fetch", "styles", "--root", root, "--mirror", server.url)
    assert (done.returncode, done.stdout) == (0, f"styles is ready: {root}\n"), done.stderr
    assert "starry_night.jpg: " in done.stderr  # no terminal: plain lines
    again = stencil("fetch", "styles", "--root", root)
    assert (again.returncode, again.stdout) == (0, f"styles is there already, complete: {root}\n")

    listed = json.loads(stencil("list", "--root", root, "--json").stdout)
    assert {name: row["state"] for name, row in listed.items()} == {
        "coco2017": "absent",
        "coco2014": "absent",
        "voc2012": "absent",
        "sbd": "absent",
        "edges2handbags": "absent",
        "styles": "present",
        "camvid": "absent",
        "bsds500": "absent",
        "classes": "absent",
    }
    assert listed["coco2017"]["bytes"] == 19_336_861_798 + 815_585_330 + 252_907_541
    (root / "styles" / "the_scream.jpg").unlink()
    text = stencil("list", "--root", root).stdout
    assert "styles  incomplete\n" in text
    assert f"missing: there is no file {root / 'styles' / 'the_scream.jpg'}\n" in text
    assert "size: 20.4 GB to download, checksums published\n" in text
    assert "size: about 8.6 GB to download, no checksum published\n" in text
    assert "by hand: Its terms do not say" in text


def test_what_goes_wrong_is_one_line(stencil: Stencil, server: Server, tmp_path: Path) -> None:
    del server.files["/the_scream.jpg"]
    failed = stencil("fetch", "styles", "--root", tmp_path / "root", "--mirror", server.url)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1].startswith(f"stencil: Expected {server.url}/the_scream.jpg to be there, but")

    refused = stencil("fetch", "bsds500", "--root", tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "stencil: bsds500 is not fetched. Its terms are for you to accept. Get BSR_bsds500"
    )

    assert stencil("fetch", "imagenet", "--root", tmp_path).returncode == 2
    assert stencil("fetch", "styles").returncode == 2


def test_ctrl_c_keeps_the_part_and_says_how_to_go_on(stencil: Stencil, server: Server, tmp_path: Path) -> None:
    painting = server.files["/starry_night.jpg"]
    data, painting.cuts = painting.data, [1000, 0, 0, 0]  # then it waits before each attempt
    words = [sys.executable, "-m", "stencilnet", "data", "fetch", "styles"]
    words += ["--root", str(tmp_path / "root"), "--mirror", server.url]
    with subprocess.Popen(words, env={**os.environ, "no_proxy": "127.0.0.1"}, stderr=subprocess.PIPE, text=True) as run:
        part = tmp_path / "root" / "downloads" / "starry_night.jpg.part"
        for _ in range(600):
            if part.exists() and part.stat().st_size == 1000:
                break
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=30)
    assert run.returncode == 1
    assert said.endswith(
        "Interrupted; finished work is saved. Continue with: "
        f"stencil data fetch styles --root {tmp_path / 'root'} --mirror {server.url}\n"
    )
    painting.cuts, painting.asked = [], []
    done = stencil("fetch", "styles", "--root", tmp_path / "root", "--mirror", server.url)
    assert done.returncode == 0, done.stderr
    assert painting.asked == [("bytes=1000-", '"v1"')]
    assert (tmp_path / "root" / "styles" / "starry_night.jpg").read_bytes() == data


def test_make_all_then_list_then_refuse_to_mix(stencil: Stencil, tmp_path: Path) -> None:
    made = stencil("make", "all", "--root", tmp_path)
    names = [*LAYOUTS, "camvid", "bsds500", "classes"]
    assert (made.returncode, made.stdout) == (0, "".join(f"{name} made: {tmp_path}\n" for name in names)), made.stderr
    listed = json.loads(stencil("list", "--root", tmp_path, "--json").stdout)
    for name in names:
        assert (listed[name]["state"], listed[name]["note"]) == ("present", "a tiny replica"), listed[name]["missing"]
    again = stencil("make", "voc2012", "--root", tmp_path)
    assert (again.returncode, again.stdout) == (0, f"voc2012 is there already: {tmp_path}\n")
    mixed = stencil("fetch", "voc2012", "--root", tmp_path)
    assert mixed.returncode == 1
    assert "but it has one: a tiny replica. Name another --root" in mixed.stderr


def test_a_damaged_marker_leaves_the_other_sets_listed(stencil: Stencil, tmp_path: Path) -> None:
    for name in ("edges2handbags", "styles"):
        assert stencil("make", name, "--root", tmp_path).returncode == 0
    (tmp_path / "replica-edges2handbags.json").write_text("{")
    done = stencil("list", "--root", tmp_path, "--json")
    listed = json.loads(done.stdout)
    assert done.returncode == 0
    assert listed["styles"]["state"] == "present"
    assert listed["edges2handbags"]["state"] == "incomplete"
    (line,) = listed["edges2handbags"]["missing"]
    assert f"Cannot read {tmp_path / 'replica-edges2handbags.json'}" in line
    assert f"run `stencil data make edges2handbags --root {tmp_path}`" in line
    assert f"  missing: {line}\n" in stencil("list", "--root", tmp_path).stdout


def test_make_all_goes_on_past_a_problem(stencil: Stencil, tmp_path: Path) -> None:
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "the_scream.jpg").write_bytes(b"mine")
    (tmp_path / "replica-voc2012.json").write_text("{}")  # an interrupted make's
    made = stencil("make", "all", "--root", tmp_path)
    names = ["coco2017", "coco2014", "sbd", "edges2handbags", "camvid", "bsds500", "classes"]
    assert (made.returncode, made.stdout) == (1, "".join(f"{name} made: {tmp_path}\n" for name in names))
    voc, styles = made.stderr.splitlines()
    assert voc.startswith(f"stencil: Expected nothing at {tmp_path / 'replica-voc2012.json'}, where the replica of voc")
    assert styles.startswith(f"stencil: Expected nothing of styles in {tmp_path} yet, but a part of it is there")


def test_a_set_of_ones_own_that_is_there_is_not_asked_for(stencil: Stencil, tmp_path: Path) -> None:
    for held in CAMVID.holds:
        (tmp_path / held.path).mkdir(parents=True)
        for number in range(held.files):
            (tmp_path / held.path / str(number)).touch()
    done = stencil("fetch", "camvid", "--root", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"camvid is there already, complete: {tmp_path}\n"), done.stderr
    (tmp_path / CAMVID.holds[0].path / "0").unlink()
    assert stencil("fetch", "camvid", "--root", tmp_path).stderr.startswith("stencil: camvid is not fetched. Its terms")


def test_a_replica_of_such_a_set_does_not_pass_for_it(stencil: Stencil, tmp_path: Path) -> None:
    assert stencil("make", "camvid", "--root", tmp_path).returncode == 0
    refused = stencil("fetch", "camvid", "--root", tmp_path)
    assert refused.returncode == 1
    assert "but it has one: a tiny replica. Name another --root" in refused.stderr


@pytest.mark.parametrize("mirror", ["nonsense", "", "file:///etc", "ftp://host/x", "http://", "https://[", "/srv"])
def test_a_mirror_that_is_no_web_address_is_a_wrong_word(stencil: Stencil, tmp_path: Path, mirror: str) -> None:
    wrong = stencil("fetch", "styles", "--root", tmp_path / "root", "--mirror", mirror)
    assert wrong.returncode == 2
    assert f"expected an address that starts with http:// or https://, but got {mirror!r}" in wrong.stderr
    assert not (tmp_path / "root").exists()


def test_make_does_not_touch_a_part_of_the_real_set(stencil: Stencil, tmp_path: Path) -> None:
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "the_scream.jpg").write_bytes(b"mine")
    refused = stencil("make", "styles", "--root", tmp_path)
    assert refused.returncode == 1
    assert "a replica must not be mixed with the real set" in refused.stderr
    assert (tmp_path / "styles" / "the_scream.jpg").read_bytes() == b"mine"


def test_a_terminal_shows_bars_and_anything_else_a_line_at_the_end_of_each_piece() -> None:
    for terminal in (True, False):
        written = io.StringIO()
        with Meter(Console(file=written, force_terminal=terminal, width=120)) as meter:
            for done in (0, 2_000_000, 2_000_000):
                meter.tell(human_bytes, "a.zip", done, 2_000_000)
            meter.tell(human_bytes, "b.zip", 5000, 0)
            meter.tell("{:,}".format, "labels", 1234, 5000)
        lines = written.getvalue()
        if terminal:
            assert "2.0 MB of 2.0 MB" in lines
            assert "5.0 kB" in lines
            assert "1,234 of 5,000" in lines
        else:
            assert lines == "a.zip: 2.0 MB of 2.0 MB\n"
