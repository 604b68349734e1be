"""Tasks learned over one backbone in several places, joined: the same bytes, whatever the order."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stencilnet as sn
from stencilnet.bundle import BundleError, TaskRecord, add_task, disk, merge, read_records, remove_task, verify
from stencilnet.masks import arrays_of
from stencilnet.models import MultiTaskNet, save

FileBytes = Callable[[Path], dict[str, bytes]]
PLACES = {"colour": 1, "clean": 2, "also": 2, "late": 7}
"""Two tasks at one place: the tie goes by name."""


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    make_net: Callable[..., MultiTaskNet],
    make_delta: Callable[..., object],
) -> Path:
    """``base``: a bundle of the first task; ``<name>/bundle``: the same and one more task, a machine each."""
    folder = tmp_path_factory.mktemp("world")
    net = make_net("shapes")
    save(net, folder / "base" / "bundle")
    for seed, (name, order) in enumerate(PLACES.items()):
        path = folder / name / "bundle"
        shutil.copytree(folder / "base" / "bundle", path)
        record = TaskRecord(kind="restoration", channels=3, method="piggyback", provenance={"seconds": seed + 0.5})
        delta = make_delta(net, "piggyback", 3, seed)
        add_task(path, name, record, delta, shared=arrays_of(net.state.shared), order=order)
    return folder


def fresh(world: Path, tmp_path: Path, name: str) -> Path:
    shutil.copytree(world / "base" / "bundle", tmp_path / name / "bundle")
    return tmp_path / name / "bundle"


@pytest.fixture(scope="module")
def merged(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, merged at once."""
    bundle = fresh(world, tmp_path_factory.mktemp("merged"), "all")
    done = merge(bundle, [world / name / "bundle" for name in PLACES])
    assert (done.added, done.present) == (("also", "clean", "colour", "late"), ("shapes",))
    return bundle


def test_a_merged_bundle_holds_every_task_bit_for_bit(world: Path, merged: Path) -> None:
    net = sn.load(merged)
    assert net.tasks == ("shapes", "colour", "also", "clean", "late")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for name in PLACES:
        alone = sn.load(world / name / "bundle")
        assert torch.equal(net(image, task=name), alone(image, task=name))
        assert torch.equal(net(image, task="shapes"), alone(image, task="shapes"))
    assert verify(merged).ok
    assert not verify(merged).findings


def test_every_reader_orders_ties_by_name(merged: Path) -> None:
    order = ["shapes", "colour", "also", "clean", "late"]
    assert list(read_records(merged)) == list(sn.Engine(merged).tasks) == order
    rows = [line for line in (merged / "README.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert [row.split()[1] for row in rows] == order


@pytest.mark.parametrize("order", list(itertools.permutations(["colour", "clean", "also"])))
@pytest.mark.parametrize("calls", ["one", "each"])
def test_the_order_of_the_sources_does_not_matter(
    order: tuple[str, ...], calls: str, world: Path, merged: Path, tmp_path: Path, file_bytes: FileBytes
) -> None:
    bundle = fresh(world, tmp_path, "a")
    sources = [world / name / "bundle" for name in (*order, "late")]
    for part in [sources] if calls == "one" else [[source] for source in sources]:
        merge(bundle, part)
    assert file_bytes(bundle) == file_bytes(merged)


@given(
    groups=st.lists(st.lists(st.sampled_from(["base", *PLACES]), min_size=1, max_size=5), min_size=1, max_size=3),
    whole=st.booleans(),
    start=st.sampled_from(["base", *PLACES]),
)
@settings(max_examples=20, deadline=None)
def test_merging_is_a_union(
    groups: list[list[str]], whole: bool, start: str, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a bundle holds is the set of what was merged: in any order and grouping, with repeats, from any side."""
    folder = tmp_path_factory.mktemp("union")
    names = {start, *itertools.chain(*groups)} - {"base"}

    def source(name: str) -> Path:
        task = world / name / "bundle" / "tasks" / ("shapes" if name == "base" else name)
        return world / name / "bundle" if whole else task

    shutil.copytree(world / start / "bundle", folder / "a" / "bundle")
    for group in groups:
        merge(folder / "a" / "bundle", [source(name) for name in group])
    other = fresh(world, folder, "b")
    merge(other, [world / name / "bundle" for name in sorted(names)])
    both = [
        {str(f.relative_to(b)): f.read_bytes() for f in b.rglob("*") if f.is_file()}
        for b in (folder / "a" / "bundle", other)
    ]
    assert both[0] == both[1]


def test_a_copied_task_folder_is_a_source_and_may_have_another_name(world: Path, tmp_path: Path) -> None:
    bundle = fresh(world, tmp_path, "a")
    shutil.copytree(world / "colour" / "bundle" / "tasks" / "colour", tmp_path / "elsewhere" / "hue")
    assert merge(bundle, [tmp_path / "elsewhere" / "hue"]).added == ("hue",)
    assert sn.load(bundle).tasks == ("shapes", "hue")


def test_leftovers_are_not_copied(world: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(world / "colour" / "bundle", source)
    (source / "tasks" / "colour" / ".new-1").write_bytes(b"x")
    (source / "tasks" / ".gone-old").mkdir()
    bundle = fresh(world, tmp_path, "a")
    merge(bundle, [source])
    assert not verify(bundle).findings


def refused(bundle: Path, sources: list[Path], file_bytes: FileBytes) -> BundleError:
    before = file_bytes(bundle)
    with pytest.raises(BundleError) as refusal:
        merge(bundle, sources)
    assert file_bytes(bundle) == before  # nothing is written where anything is wrong
    return refusal.value


def test_another_backbones_task_is_refused(
    world: Path, tmp_path: Path, file_bytes: FileBytes, make_net: Callable[..., MultiTaskNet]
) -> None:
    bundle = fresh(world, tmp_path, "a")
    save(make_net("shapes", "clean", seed=5), tmp_path / "other")
    backbones = [json.loads((b / "config.json").read_text())["backbone"] for b in (bundle, tmp_path / "other")]
    for source in (tmp_path / "other", tmp_path / "other" / "tasks" / "clean"):
        error = refused(bundle, [world / "colour" / "bundle", source], file_bytes)
        assert error.file.startswith(str(tmp_path / "other" / "tasks"))
        assert error.what == "another backbone's task"
        assert error.expected.endswith(backbones[0])
        assert error.got.endswith(backbones[1])


def test_two_tasks_of_one_name_are_refused(world: Path, tmp_path: Path, file_bytes: FileBytes) -> None:
    bundle = fresh(world, tmp_path, "a")
    shutil.copytree(world / "clean" / "bundle" / "tasks" / "clean", tmp_path / "late")
    error = refused(bundle, [world / "late" / "bundle", tmp_path / "late"], file_bytes)
    assert (error.file, error.got) == (str(tmp_path / "late"), "one with another provenance, order, delta")
    assert str(world / "late" / "bundle" / "tasks" / "late") in error.what
    assert "Name the tasks that you want" in error.remedy
    merge(bundle, [world / "late" / "bundle"])
    error = refused(bundle, [world / "colour" / "bundle", tmp_path / "late"], file_bytes)
    assert str(bundle / "tasks" / "late") in error.what


@pytest.mark.parametrize("damage", ["delta", "record", "gone"])
def test_a_damaged_source_is_refused(damage: str, world: Path, tmp_path: Path, file_bytes: FileBytes) -> None:
    shutil.copytree(world / "late" / "bundle", tmp_path / "source")
    folder = tmp_path / "source" / "tasks" / "late"
    delta = next(folder.glob("delta-*"))
    if damage == "delta":
        delta.write_bytes(delta.read_bytes()[:-1] + b"\x55")
    elif damage == "record":
        (folder / "task.json").write_text((folder / "task.json").read_text().replace('"order": 7', '"order": 6'))
    else:
        delta.unlink()
    bundle = fresh(world, tmp_path, "a")
    error = refused(bundle, [world / "colour" / "bundle", tmp_path / "source"], file_bytes)
    assert error.file.startswith(str(folder))
    assert error.what == ("missing" if damage == "gone" else "changed since it was written")


def test_a_delta_that_does_not_fit_is_refused(
    world: Path, tmp_path: Path, file_bytes: FileBytes, make_net: Callable[..., MultiTaskNet]
) -> None:
    """A task that claims this backbone's hash, but was made for another network."""
    from stencilnet.bundle.editing import write_new
    from stencilnet.bundle.records import read_task
    from stencilnet.bundle.schema import TaskFile

    bundle = fresh(world, tmp_path, "a")
    save(make_net("shapes", "clean", width=3), tmp_path / "wide")
    task = read_task(tmp_path / "wide", "clean", None)
    content = next((tmp_path / "wide" / "tasks" / "clean").glob("delta-*")).read_bytes()
    claimed = read_task(bundle, "shapes", None).backbone
    forged = TaskFile(record=task.record, order=1, backbone=claimed, delta=task.delta)
    (tmp_path / "forged").mkdir()
    write_new(tmp_path / "forged", "clean", forged, content)
    error = refused(bundle, [tmp_path / "forged" / "tasks" / "clean"], file_bytes)
    assert error.what == "the delta does not fit the backbone"


@pytest.mark.parametrize(
    ("source", "got"), [("somebody/their-bundle", "no such folder"), ("empty", "a folder without"), ("file", "a file")]
)
def test_what_is_no_source_is_told_what_is(
    source: str, got: str, world: Path, tmp_path: Path, file_bytes: FileBytes
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    error = refused(fresh(world, tmp_path, "a"), [tmp_path / source], file_bytes)
    assert error.got.startswith(got)
    assert "a bundle's folder (with config.json), or one task's (tasks/<name>, with task.json)" in error.expected
    assert "hf:OWNER/NAME" in error.remedy


def test_the_target_has_to_be_a_bundle(world: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        merge(tmp_path / "nothing", [world / "base" / "bundle"])


def test_a_crash_leaves_whole_tasks_and_merging_again_ends_it(
    world: Path, merged: Path, tmp_path: Path, file_bytes: FileBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any sync of the disk: what is there is whole; the same command again gives the same bytes."""
    real = disk.os.fsync
    sources = [world / name / "bundle" for name in PLACES]
    for fatal in itertools.count(1, 3):
        bundle = fresh(world, tmp_path, f"crash-{fatal}")
        calls = itertools.count(1)

        def fsync(handle: int, calls: "itertools.count[int]" = calls, fatal: int = fatal) -> None:
            if next(calls) == fatal:
                raise KeyboardInterrupt
            real(handle)

        monkeypatch.setattr(disk.os, "fsync", fsync)
        try:
            merge(bundle, sources)
            break
        except KeyboardInterrupt:
            pass
        finally:
            monkeypatch.setattr(disk.os, "fsync", real)
        assert verify(bundle).ok
        merge(bundle, sources)
        assert file_bytes(bundle) == file_bytes(merged)
    assert fatal > 10


def test_removed_and_merged_again_is_as_before(
    merged: Path, world: Path, tmp_path: Path, file_bytes: FileBytes
) -> None:
    bundle = tmp_path / "again" / "bundle"
    shutil.copytree(merged, bundle)
    remove_task(bundle, "colour")
    merge(bundle, [world / "colour" / "bundle" / "tasks" / "colour"])
    assert file_bytes(bundle) == file_bytes(merged)


def test_a_negative_place_is_refused(bundle: Path, make_delta: Callable[..., object]) -> None:
    net = sn.load(bundle)
    record = TaskRecord(kind="restoration", channels=3, method="piggyback")
    delta = make_delta(net, "piggyback", 3, 0)
    with pytest.raises(ValueError, match=r"Expected `order` to be at least 0, but got -1\."):
        add_task(bundle, "new", record, delta, shared=arrays_of(net.state.shared), order=-1)
