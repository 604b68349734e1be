"""Runs over many files: what is skipped, what an error ends, and a folder that is watched."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

import stencilnet as sn
from stencilnet.bundle import TaskRecord, replace_task
from stencilnet.cli.batch import RECORD, Batch, counted_since, is_current
from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import array_of, arrays_of

from ..command_line import Stencil


def batch(*, terminal: bool = False, **options: bool) -> Batch:
    """A batch that copies files; those named bad fail."""

    def process(planned: dict[Path, Path]) -> Generator[tuple[Path, str | None]]:
        for source, target in planned.items():
            if "bad" in source.name:
                yield source, "it is bad"
                continue
            shutil.copyfile(source, target)
            yield source, None

    return Batch(process=process, screen=Console(file=io.StringIO(), force_terminal=terminal, width=80), **options)


@pytest.fixture
def planned(tmp_path: Path) -> dict[Path, Path]:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("a", "bad", "c"):
        (tmp_path / "in" / name).write_text(name)
        os.utime(tmp_path / "in" / name, ns=(10, 10))
    return {source: tmp_path / "out" / source.name for source in sorted((tmp_path / "in").iterdir())}


def counts(found: Batch) -> tuple[int, int, int]:
    return found.written, found.skipped, found.failed


def test_an_error_is_one_line_and_the_others_run(planned: dict[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = batch()
    assert found.run(planned)
    found.summarise()
    a, bad, c = planned
    said = capsys.readouterr()
    assert said.out == f"{planned[a]}\n{planned[c]}\n"
    assert said.err == f"stencil: {bad}: it is bad\n2 written, 0 skipped, 1 failed\n"


def test_the_first_error_may_end_it(planned: dict[Path, Path]) -> None:
    found = batch(stops=True)
    assert not found.run(planned)
    assert counts(found) == (1, 0, 1)


def test_what_is_done_is_skipped_until_the_input_changes(planned: dict[Path, Path]) -> None:
    batch().run(planned)
    again = batch(resume=True)
    again.run(planned)
    assert counts(again) == (0, 2, 1)
    a = next(iter(planned))
    os.utime(a, ns=(2**62, 2**62))
    assert not is_current(a, planned[a])
    last = batch(resume=True)
    last.run(planned)
    assert counts(last) == (1, 1, 1)


def test_what_was_made_before_a_change_is_not_done(planned: dict[Path, Path]) -> None:
    batch().run(planned)
    a, _, c = planned.values()
    os.utime(a, ns=(100, 100))
    os.utime(c, ns=(101, 101))
    found = batch(resume=True)
    found.since = 101
    found.run(planned)
    assert counts(found) == (1, 1, 1)
    assert a.stat().st_mtime_ns > 101


def test_outputs_of_another_origin_do_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "out"
    one, other = {"task": "a", "scale": 0.5}, {"task": "a", "scale": "trained"}
    assert counted_since(folder, one, resume=True) == 0  # what an earlier version made counts
    assert counted_since(folder, one, resume=True) == 0
    assert capsys.readouterr().err == ""
    changed = counted_since(folder, other, resume=True)
    assert changed > 0
    note = f"{folder}: what is there was made by another task or other options, and is made again\n"
    assert capsys.readouterr().err == note
    assert counted_since(folder, other, resume=True) == changed
    assert capsys.readouterr().err == ""
    assert [file.name for file in folder.iterdir()] == [RECORD]


def test_what_lay_in_a_folder_before_a_run_without_resume_does_not_count_later(tmp_path: Path) -> None:
    began = counted_since(tmp_path / "out", {"task": "a"}, resume=False)
    assert began > 0
    assert counted_since(tmp_path / "out", {"task": "a"}, resume=True) == began


def test_the_bar_has_a_rate_on_a_terminal_alone(planned: dict[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for terminal in (False, True):
        found = batch(terminal=terminal)
        found.run(planned)
        shown = found.screen.file.getvalue()  # type: ignore[attr-defined]
        assert ("3/3" in shown) == terminal
        assert capsys.readouterr().out.count("\n") == 2  # a stdout that is no terminal keeps its lines


def test_a_watched_file_is_run_when_it_has_come_to_rest_and_again_when_it_changes(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    read: list[str | None] = []

    def write(text: str, date: int) -> None:
        source.write_text(text)
        os.utime(source, ns=(date, date))

    acts: list[Callable[[], object]] = [
        lambda: write("half", 1),
        lambda: write("whole", 2),  # seen half, so not run yet
        lambda: None,
        lambda: read.append(target.read_text()),
        lambda: (target.unlink(), write("other", 3)),
        lambda: read.append(str(target.exists())),
        lambda: read.append(target.read_text()),
    ]
    steps = iter(acts)

    def wait() -> bool:
        act = next(steps, None)
        if act is None:
            return True
        act()
        return False

    found = batch()
    found.watch(lambda: {source: target} if source.exists() else {}, wait)
    assert read == ["whole", "False", "other"]
    assert counts(found) == (2, 0, 0)


def test_a_stop_request_ends_it_after_the_file_in_work(planned: dict[Path, Path]) -> None:
    found = batch()
    found.stop = lambda: True
    assert not found.run(planned)
    assert counts(found) == (1, 0, 0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an untrained task."""
    path = tmp_path_factory.mktemp("learned") / "bundle"
    net = sn.MultiTaskNet(sn.UNet(width=2).requires_grad_(False))
    head = {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(3, None).items()}
    record = TaskRecord(kind="restoration", channels=3, method="backbone")
    sn.save(net.with_state(net.state.add("clean", TaskDelta(head)), {"clean": record}), path)
    return path


def test_options_of_the_command(stencil: Stencil, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "c", "d"):
        Image.new("RGB", (33, 32), "red").save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "b.png").write_text("no picture")
    words = ("run", bundle, "clean", "in", "-o", "out")
    stopped = stencil(*words, "--on-error", "stop", cwd=tmp_path)
    assert (stopped.returncode, stopped.stdout) == (1, "out/a.png\n")
    assert stopped.stderr.splitlines()[-1] == "1 written, 0 skipped, 1 failed"
    (tmp_path / "in" / "b.png").unlink()
    resumed = stencil(*words, "--resume", cwd=tmp_path)
    assert resumed.returncode == 0
    assert "out/a.png" not in resumed.stdout
    refused = stencil("run", bundle, "clean", "in/a.png", "-o", "out", "--watch", cwd=tmp_path)
    assert (refused.returncode, "--watch takes one folder" in refused.stderr) == (2, True)
    refused = stencil("run", bundle, "clean", "in", "-o", "in", "--watch", cwd=tmp_path)
    assert (refused.returncode, "would be overwritten" in refused.stderr) == (1, True)
    assert not (tmp_path / "in" / RECORD).exists()


def test_another_task_or_option_is_noticed(stencil: Stencil, bundle: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(bundle, tmp_path / "mine")
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (33, 32), "red").save(tmp_path / "in" / f"{name}.png")

    def made(*words: object, task: str = "clean") -> tuple[list[str], bool]:
        done = stencil("run", mine, task, "in", "-o", "out", "--resume", *words, cwd=tmp_path)
        assert done.returncode == 0
        return done.stdout.splitlines(), "by another task or other options" in done.stderr

    both = [f"out{os.sep}{name}.png" for name in ("a", "b")]
    assert made() == (both, False)
    assert made() == ([], False)
    assert made("--scale", "native") == (both, True)
    assert made("--scale", "native") == ([], False)
    shutil.copytree(mine / "tasks" / "clean", mine / "tasks" / "same")
    assert made("--scale", "native", task="same") == ([], False)
    before = sn.load(mine)
    key = "head.bias"
    entries = {**before.deltas["clean"].entries, key: Replace(before.deltas["clean"].entries[key].tensor + 1)}
    replace_task(mine, "clean", before.records["clean"], TaskDelta(entries), shared=arrays_of(before.state.shared))
    assert made("--scale", "native") == (both, True)
    (tmp_path / "out" / RECORD).unlink()
    assert made() == ([], False)
    alone = stencil("run", mine, "clean", "in/a.png", "-o", "alone.png", cwd=tmp_path)
    assert alone.returncode == 0
    assert not (tmp_path / RECORD).exists()


def test_a_drop_folder_until_ctrl_c(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    command = [sys.executable, "-m", "stencilnet", "run", bundle, "clean", "in", "-o", "out", "--watch"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for name in ("a", "b"):
                Image.new("RGB", (33, 32), "red").save(tmp_path / "in" / f"{name}.png")
                assert process.stdout.readline() == f"out/{name}.png\n"
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == ("", "")
        finally:
            process.kill()
    assert process.returncode == 0
