"""`stencil data`: what is listed, fetched from a mirror, and made; on which stream, with which exit code."""

import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from rich.console import Console

from stencilnet.cli.data import Meter
from stencilnet.datasets.fetching import download
from stencilnet.datasets.fetching.catalog import CAMVID, CATALOG
from stencilnet.datasets.fetching.problems import human_bytes

from ..command_line import Stencil
from ..data.fetching_server import Server, web_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    Image.effect_noise((200, 160), 90).convert("RGB").save(tmp_path / "painting.jpg")
    with web_server() as running:
        for name in ("starry_night.jpg", "the_scream.jpg"):
            running.serve(name, (tmp_path / "painting.jpg").read_bytes())
        yield running


@pytest.fixture
def data(stencil: Stencil) -> Stencil:
    """``data(*words)`` is `stencil data`."""
    return partial(stencil, "data")


def test_fetch_from_a_mirror_then_list(data: Stencil, server: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = data("fetch", "styles", "--root", root, "--mirror", server.url)
    assert (done.returncode, done.stdout) == (0, f"styles is ready: {root}\n"), done.stderr
    assert "starry_night.jpg: " in done.stderr  # no terminal: plain lines
    again = data("fetch", "styles", "--root", root)
    assert (again.returncode, again.stdout) == (0, f"styles is complete already: {root}\n")

    listed = json.loads(data("list", "--root", root, "--json").stdout)
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
    text = data("list", "--root", root).stdout
    assert "styles  incomplete\n" in text
    assert f"missing: there is no file {root / 'styles' / 'the_scream.jpg'}\n" in text
    assert "size: 20.4 GB to download, checksums published\n" in text
    assert "size: about 8.6 GB to download, no checksum published\n" in text
    assert "by hand: Its terms do not say" in text


def test_what_goes_wrong_is_one_line(data: Stencil, server: Server, tmp_path: Path) -> None:
    del server.files["/the_scream.jpg"]
    failed = data("fetch", "styles", "--root", tmp_path / "root", "--mirror", server.url)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1].startswith(f"stencil: Expected {server.url}/the_scream.jpg to exist, but")

    refused = data("fetch", "bsds500", "--root", tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "stencil: bsds500 cannot be fetched. You have to accept its terms. Get BSR_bsds500"
    )

    assert data("fetch", "imagenet", "--root", tmp_path).returncode == 2
    assert data("fetch", "styles").returncode == 2


def test_ctrl_c_keeps_the_part_and_says_how_to_go_on(
    data: Stencil, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ctrl_c(_seconds: float) -> None:
        raise KeyboardInterrupt

    painting = server.files["/starry_night.jpg"]
    painting.cuts = [1000]  # then it waits before the next attempt
    words = ("fetch", "styles", "--root", tmp_path / "root", "--mirror", server.url)
    with monkeypatch.context() as patch:
        patch.setattr(download, "time", SimpleNamespace(sleep=ctrl_c))
        stopped = data(*words)
    assert stopped.returncode == 1
    again = " ".join(map(str, words))
    assert stopped.stderr.endswith(f"Interrupted; finished work is saved. Continue with: stencil data {again}\n")
    painting.asked = []
    done = data(*words)
    assert done.returncode == 0, done.stderr
    assert painting.asked == [("bytes=1000-", '"v1"')]
    assert (tmp_path / "root" / "styles" / "starry_night.jpg").read_bytes() == painting.data


def hear_ctrl_c() -> None:
    """Let a process hear Ctrl-C, also if the tests run in a shell's background, which ignores it for all it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_a_real_ctrl_c_keeps_the_part_that_a_second_call_resumes(data: Stencil, server: Server, tmp_path: Path) -> None:
    """The server sends half a file and holds the connection, until the process has ended."""
    Image.effect_noise((1600, 1200), 90).convert("RGB").save(tmp_path / "large.jpg")  # half of it exceeds write buffers
    large = (tmp_path / "large.jpg").read_bytes()
    released = threading.Event()
    painting = server.serve("starry_night.jpg", large, cuts=[len(large) // 2], held=released)
    words = ("fetch", "styles", "--root", str(tmp_path / "root"), "--mirror", server.url)
    command = [sys.executable, "-m", "stencilnet", "data", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = subprocess.Popen(command, **pipes, preexec_fn=hear_ctrl_c)
    part = tmp_path / "root" / "downloads" / "starry_night.jpg.part"
    try:
        while not (part.exists() and part.stat().st_size):
            assert started.poll() is None, started.communicate()
            time.sleep(0.01)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate()
    finally:
        released.set()
        started.kill()
    again = " ".join(words)
    assert (started.returncode, out) == (1, "")
    *progress, last = err.splitlines()  # on a slow machine, lines of progress come first
    assert last == f"Interrupted; finished work is saved. Continue with: stencil data {again}"
    assert all(line.startswith("starry_night.jpg: ") for line in progress), err

    kept = part.stat().st_size
    assert part.read_bytes() == painting.data[:kept]
    painting.asked = []
    done = data(*words)
    assert done.returncode == 0, done.stderr
    assert painting.asked == [(f"bytes={kept}-", '"v1"')]
    assert (tmp_path / "root" / "styles" / "starry_night.jpg").read_bytes() == painting.data


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The data sets that `make all` makes: those that are drawn quickly."""
    names = ("voc2012", "sbd", "camvid", "bsds500")
    monkeypatch.setattr("stencilnet.cli.data.CATALOG", {name: CATALOG[name] for name in names})
    return names


def test_make_all_then_list_then_refuse_to_mix(data: Stencil, few: tuple[str, ...], tmp_path: Path) -> None:
    made = data("make", "all", "--root", tmp_path)
    assert (made.returncode, made.stdout) == (0, "".join(f"{name} made: {tmp_path}\n" for name in few)), made.stderr
    listed = json.loads(data("list", "--root", tmp_path, "--json").stdout)
    for name in few:
        assert (listed[name]["state"], listed[name]["note"]) == ("present", "a tiny replica"), listed[name]["missing"]
    again = data("make", "voc2012", "--root", tmp_path)
    assert (again.returncode, again.stdout) == (0, f"voc2012 exists already: {tmp_path}\n")
    mixed = data("fetch", "voc2012", "--root", tmp_path)
    assert mixed.returncode == 1
    assert "but it has one: a tiny replica. Choose another --root" in mixed.stderr


def test_a_damaged_marker_leaves_the_other_sets_listed(data: Stencil, tmp_path: Path) -> None:
    for name in ("edges2handbags", "bsds500"):
        assert data("make", name, "--root", tmp_path).returncode == 0
    (tmp_path / "replica-edges2handbags.json").write_text("{")
    done = data("list", "--root", tmp_path, "--json")
    listed = json.loads(done.stdout)
    assert done.returncode == 0
    assert listed["bsds500"]["state"] == "present"
    assert listed["edges2handbags"]["state"] == "incomplete"
    (line,) = listed["edges2handbags"]["missing"]
    assert f"Cannot read {tmp_path / 'replica-edges2handbags.json'}" in line
    assert f"run `stencil data make edges2handbags --root {tmp_path}`" in line
    assert f"  missing: {line}\n" in data("list", "--root", tmp_path).stdout


def test_make_all_goes_on_past_a_problem(data: Stencil, few: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / CAMVID.holds[0].path).mkdir(parents=True)
    (tmp_path / CAMVID.holds[0].path / "0.png").write_bytes(b"mine")
    (tmp_path / "replica-voc2012.json").write_text("{}")  # an interrupted make's
    made = data("make", "all", "--root", tmp_path)
    assert (made.returncode, made.stdout) == (1, f"sbd made: {tmp_path}\nbsds500 made: {tmp_path}\n")
    voc, camvid = made.stderr.splitlines()
    assert voc.startswith(f"stencil: Expected nothing at {tmp_path / 'replica-voc2012.json'}, where the replica of voc")
    assert camvid.startswith(f"stencil: Expected nothing of camvid in {tmp_path}, but it has a part of the set")


def test_a_set_of_ones_own_that_is_there_is_not_asked_for(data: Stencil, tmp_path: Path) -> None:
    for held in CAMVID.holds:
        (tmp_path / held.path).mkdir(parents=True)
        for number in range(held.files):
            (tmp_path / held.path / str(number)).touch()
    done = data("fetch", "camvid", "--root", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"camvid is complete already: {tmp_path}\n"), done.stderr
    (tmp_path / CAMVID.holds[0].path / "0").unlink()
    assert data("fetch", "camvid", "--root", tmp_path).stderr.startswith("stencil: camvid cannot be fetched. Its terms")


def test_a_replica_of_such_a_set_does_not_pass_for_it(data: Stencil, tmp_path: Path) -> None:
    assert data("make", "camvid", "--root", tmp_path).returncode == 0
    refused = data("fetch", "camvid", "--root", tmp_path)
    assert refused.returncode == 1
    assert "but it has one: a tiny replica. Choose another --root" in refused.stderr


@pytest.mark.parametrize("mirror", ["", "file:///etc", "http://", "https://["])
def test_a_mirror_that_is_no_web_address_is_a_wrong_word(data: Stencil, tmp_path: Path, mirror: str) -> None:
    wrong = data("fetch", "styles", "--root", tmp_path / "root", "--mirror", mirror)
    assert wrong.returncode == 2
    assert f"expected an address that starts with http:// or https://, but got {mirror!r}" in wrong.stderr
    assert not (tmp_path / "root").exists()


def test_make_does_not_touch_a_part_of_the_real_set(data: Stencil, tmp_path: Path) -> None:
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "the_scream.jpg").write_bytes(b"mine")
    refused = data("make", "styles", "--root", tmp_path)
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
