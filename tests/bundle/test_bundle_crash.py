"""A crash at any step of any write loses nothing that was learned."""

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stencilnet.bundle import TaskRecord, add_task, remove_task, replace_task, verify
from stencilnet.delta import TaskDelta
from stencilnet.masks import arrays_of, task_weights
from stencilnet.models import MultiTaskNet, load, save

MakeNet = Callable[..., MultiTaskNet]
MakeDelta = Callable[..., TaskDelta]
AsBytes = Callable[..., object]
Records = dict[str, TaskRecord]

LAST = 60
"""More steps than any change takes."""


class PowerCutError(BaseException):
    """The machine is off; nothing that follows reaches the disk."""


class Machine:
    """Counts the steps that change a disk, and goes down at one of them."""

    def __init__(self) -> None:
        self.running = False
        self.down = False
        self.steps = 0
        self.last = 0
        self.synced: set[int] = set()
        self.renamed: list[tuple[str, bool]] = []

    def rename(self, source: Path) -> None:
        """Note what is put in place, and whether all of it had been synced."""
        files = [source, *source.rglob("*")]
        self.renamed.append((source.name, all(file.stat().st_ino in self.synced for file in files)))

    def step(self) -> None:
        if not self.running:
            return
        self.steps += 1
        self.down = self.down or self.steps == self.last
        if self.down:
            raise PowerCutError

    @contextmanager
    def off_at(self, last: int) -> Iterator[None]:
        self.running, self.down, self.steps, self.last = True, False, 0, last
        self.synced, self.renamed = set(), []
        try:
            yield
        finally:
            self.running = False


MACHINE = Machine()
WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if MACHINE.running and (event in WRITES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR))):
        MACHINE.step()
    if MACHINE.running and event == "os.rename":
        MACHINE.running = False
        MACHINE.rename(Path(args[0]))
        MACHINE.running = True


sys.addaudithook(_hook)  # one for the whole process: a hook cannot be taken out again


@pytest.fixture(autouse=True)
def _torn_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not synced when the power goes is there in half."""
    sync = os.fsync

    def fsync(handle: int) -> None:
        was_down = MACHINE.down
        try:
            MACHINE.step()
        except PowerCutError:
            state = os.fstat(handle)
            if not was_down and stat.S_ISREG(state.st_mode):
                MACHINE.running = False
                os.ftruncate(handle, state.st_size // 2)
                MACHINE.running = True
            raise
        MACHINE.synced.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)


def cut_everywhere(base: Path, work: Path, change: Callable[[Path], None]) -> Iterator[tuple[Path, bool]]:
    """Yield the folder as a power cut at each step left it, and at last as the whole change left it."""
    for last in range(1, LAST):
        place = work / f"{last}" / "bundle"
        place.parent.mkdir()
        if base.exists():
            shutil.copytree(base, place)
        try:
            with MACHINE.off_at(last):
                change(place)
        except PowerCutError:
            yield place, False
        else:
            yield place, True
            return
    pytest.fail(f"the change took more than {LAST} steps")


def weights(path: Path, as_bytes: AsBytes) -> dict[str, object]:
    net = load(path)
    return {name: as_bytes(net.state.weights(name)) for name in net.tasks}


def test_the_power_cut_does_cut(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    steps = list(cut_everywhere(bundle, tmp_path / "work", lambda place: remove_task(place, "colour")))
    # rename, sync, two files and a folder deleted; then the card: open, sync, rename, sync
    assert len(steps) >= 9
    with pytest.raises(PowerCutError), MACHINE.off_at(1):
        (tmp_path / "x").write_bytes(b"x")


def test_nothing_is_put_in_place_before_it_is_on_disk(
    bundle: Path, make_net: MakeNet, make_delta: MakeDelta, records: Records
) -> None:
    net = load(bundle)
    delta = make_delta(net, "decoder", 3, 5)
    with MACHINE.off_at(1000):
        add_task(bundle, "clean", records["clean"], delta, shared=arrays_of(net.state.shared))
        replace_task(
            bundle, "clean", records["clean"], make_delta(net, "decoder", 3, 6), shared=arrays_of(net.state.shared)
        )
        save(make_net("shapes", "colour"), bundle.parent / "new")
        # new task, card, delta, task.json, card, whole bundle, card
        assert [synced for _, synced in MACHINE.renamed] == [True] * 7, MACHINE.renamed


def test_adding(bundle: Path, tmp_path: Path, make_delta: MakeDelta, records: Records, as_bytes: AsBytes) -> None:
    net, before = load(bundle), weights(bundle, as_bytes)
    delta, work = make_delta(net, "decoder", 3, 5), tmp_path / "work"
    work.mkdir()

    def change(place: Path) -> None:
        add_task(place, "clean", records["clean"], delta, shared=arrays_of(net.state.shared))

    seen = set()
    for place, done in cut_everywhere(bundle, work, change):
        after = weights(place, as_bytes)
        seen.add("clean" in after)
        assert {name: after[name] for name in before} == before
        if "clean" in after:
            assert after["clean"] == as_bytes(task_weights(delta, net.state.shared))
        else:
            assert not done
            change(place)  # what is left over is not in the way
        assert verify(place).ok, verify(place).findings
    assert seen == {True, False}


def test_replacing(bundle: Path, tmp_path: Path, make_delta: MakeDelta, records: Records, as_bytes: AsBytes) -> None:
    net, before = load(bundle), weights(bundle, as_bytes)
    delta, work = make_delta(net, "piggyback", 2, 55), tmp_path / "work"
    anew = as_bytes(task_weights(delta, net.state.shared))
    work.mkdir()

    def change(place: Path) -> None:
        replace_task(place, "colour", records["colour"], delta, shared=arrays_of(net.state.shared))

    seen = set()
    for place, done in cut_everywhere(bundle, work, change):
        after = weights(place, as_bytes)
        assert after["shapes"] == before["shapes"]
        assert after["colour"] in (before["colour"], anew)
        seen.add(after["colour"] == anew)
        assert verify(place).ok, verify(place).findings
        change(place)
        assert weights(place, as_bytes)["colour"] == anew
        assert len(list(place.glob("tasks/colour/delta-*"))) == 1
        assert not done or verify(place).findings == ()
    assert seen == {True, False}


def test_removing(bundle: Path, tmp_path: Path, as_bytes: AsBytes) -> None:
    before, work = weights(bundle, as_bytes), tmp_path / "work"
    work.mkdir()
    seen = set()
    for place, done in cut_everywhere(bundle, work, lambda place: remove_task(place, "colour")):
        after = weights(place, as_bytes)
        seen.add("colour" in after)
        assert after == {name: before[name] for name in after}
        assert "shapes" in after
        report = verify(place)
        assert report.ok, report.findings
        assert all("/tasks/.gone-colour-" in f.file or "/.new-" in f.file for f in report.findings)
        assert not done or report.findings == ()
        if "colour" in after:
            remove_task(place, "colour")
    assert seen == {True, False}


@pytest.mark.slow
def test_saving_a_new_bundle(tmp_path: Path, make_net: MakeNet, as_bytes: AsBytes) -> None:
    net, work = make_net("shapes", "colour"), tmp_path / "work"
    expected = {name: as_bytes(net.state.weights(name)) for name in net.tasks}
    work.mkdir()
    seen = set()
    for place, _ in cut_everywhere(tmp_path / "none", work, lambda place: save(net, place)):
        seen.add(place.exists())
        if place.exists():  # then it is whole
            assert weights(place, as_bytes) == expected
            assert verify(place).ok
        save(net, place)
        assert weights(place, as_bytes) == expected
    assert seen == {True, False}


@pytest.mark.slow
def test_saving_over_a_bundle(bundle: Path, tmp_path: Path, make_net: MakeNet, as_bytes: AsBytes) -> None:
    net, before, work = make_net("shapes", "colour", "clean"), weights(bundle, as_bytes), tmp_path / "work"
    work.mkdir()
    for place, _ in cut_everywhere(bundle, work, lambda place: save(net, place)):
        after = weights(place, as_bytes)
        assert {name: after[name] for name in before} == before
        assert verify(place).ok
        save(net, place)
        assert list(weights(place, as_bytes)) == ["shapes", "colour", "clean"]


def test_a_full_disk_leaves_nothing_behind(
    bundle: Path, make_delta: MakeDelta, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = load(bundle)
    delta = make_delta(net, "decoder", 3, 5)
    before = sorted(bundle.rglob("*"))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for change in (
        lambda: add_task(bundle, "clean", records["clean"], delta, shared=arrays_of(net.state.shared)),
        lambda: replace_task(bundle, "colour", records["clean"], delta, shared=arrays_of(net.state.shared)),
        lambda: save(net, bundle.parent / "other"),
    ):
        with pytest.raises(OSError, match="No space left"):
            change()
    assert sorted(bundle.rglob("*")) == before
    assert list(bundle.parent.iterdir()) == [bundle]
