"""A task as one file: the same bytes for the same task, the same task from the same bytes, and no hostile archive."""

import hashlib
import io
import os
import shutil
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stencilnet.bundle import BundleError, add_task, merge, open_bundle, pack_task, remove_task, verify
from stencilnet.delta import Replace, TaskDelta, lateral_key

GOLDEN = Path(__file__).with_name("golden")
FileBytes = Callable[[Path], dict[str, bytes]]
Content = dict[str, bytes]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    file = tmp_path / "any name.zip"
    file.write_bytes(pack_task(GOLDEN / "v1-entropy", "uneven"))
    return file


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN / "v1", tmp_path / "bundle")


def content(name: str = "uneven") -> Content:
    folder = GOLDEN / "v1-entropy" / "tasks" / "uneven"
    return {f"{name}/{file.name}": file.read_bytes() for file in folder.iterdir()}


def zipped(file: Path, files: Content, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file


def refused(bundle: Path, archive: Path) -> BundleError:
    before = {str(path): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    with pytest.raises(BundleError) as raised:
        merge(bundle, [archive])
    assert {str(path): path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    return raised.value


def test_a_packed_task_is_installed_byte_for_byte(packed: Path, bundle: Path, file_bytes: FileBytes) -> None:
    before = file_bytes(bundle / "tasks")
    assert merge(bundle, [packed]).added == ("uneven",)
    assert file_bytes(bundle / "tasks") == before | file_bytes(GOLDEN / "v1-entropy" / "tasks")
    assert verify(bundle).ok
    assert merge(bundle, [packed]).present == ("uneven",)


def test_equal_tasks_give_equal_bytes(
    packed: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge(bundle, [packed])
    for file in (bundle / "tasks" / "uneven").iterdir():
        os.utime(file, (1, 1))
        file.chmod(0o600)
    monkeypatch.setattr(zipfile.sys, "platform", "win32")
    again = pack_task(bundle, "uneven")
    assert again == packed.read_bytes()
    assert hashlib.sha256(again).hexdigest() == "6abda96cf4bef951949d45e8ef90de0e838b206f5fdd73479745ffe09a1ff5bb"


def test_it_costs_next_to_nothing_beside_the_task(packed: Path) -> None:
    assert packed.stat().st_size < sum(map(len, content().values())) + 500


def test_an_archive_made_by_hand_is_read(bundle: Path, tmp_path: Path) -> None:
    """With folders, compression, another name, and what a desktop adds."""
    more = {"other/": b"", "__MACOSX/other/._task.json": b"?", "other/README.md": b"?", "other/.DS_Store": b"?"}
    merge(bundle, [zipped(tmp_path / "by-hand.zip", more | content("other"))])
    assert (bundle / "tasks" / "other" / "task.json").exists()
    assert not (bundle / "tasks" / "other" / "README.md").exists()
    assert verify(bundle).ok


def test_several_tasks_may_lie_in_one_archive(bundle: Path, tmp_path: Path) -> None:
    assert merge(bundle, [zipped(tmp_path / "two.zip", content("a") | content("b"))]).added == ("a", "b")


def test_a_task_takes_along_the_columns_that_it_runs_through(bundle: Path, tmp_path: Path) -> None:
    whole = open_bundle(bundle)
    adapter = Replace(np.zeros((*whole.shared["conv1_1.weight"].shape[:2], 1, 1), np.float32))
    for name, below in (("a", "colour"), ("b", "a")):
        delta = TaskDelta({**whole.deltas["clean"].entries, lateral_key(below, "conv1_1"): adapter})
        add_task(bundle, name, whole.records["clean"], delta, shared=whole.shared)
    (tmp_path / "b.zip").write_bytes(pack_task(bundle, "b"))
    other = shutil.copytree(GOLDEN / "v1-entropy", tmp_path / "other")
    assert merge(other, [tmp_path / "b.zip"]).added == ("a", "b", "colour")
    assert verify(other).ok
    remove_task(other, "b")
    assert merge(other, [tmp_path / "b.zip"]).added == ("b",)


def test_a_task_over_another_backbone_is_refused_before_its_delta_is_read(packed: Path, tmp_path: Path) -> None:
    other = shutil.copytree(GOLDEN / "v1-int8", tmp_path / "other")
    files = {name: data for name, data in content().items() if name.endswith("task.json")}
    error = refused(other, zipped(tmp_path / "without-delta.zip", files))
    assert error.what == "another backbone's task"
    assert error.file == str(tmp_path / "without-delta.zip" / "uneven" / "task.json")


@pytest.mark.parametrize(("name", "what"), [("nothing", "no such task"), ("Not a name", "not a task name")])
def test_only_a_task_of_the_bundle_is_packed(name: str, what: str) -> None:
    with pytest.raises(BundleError, match=what):
        pack_task(GOLDEN / "v1", name)


def test_a_damaged_task_is_not_packed(bundle: Path) -> None:
    delta = next((bundle / "tasks" / "colour").glob("delta-*"))
    delta.write_bytes(delta.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match="changed since it was written"):
        pack_task(bundle, "colour")


@pytest.mark.parametrize(
    "name",
    ["../uneven/task.json", "/uneven/task.json", "uneven/../../x", "c:/x", "..\\x", "\\\\host\\x", "a/..", ".", "./"],
)
def test_a_path_that_leads_out_is_refused(name: str, bundle: Path, tmp_path: Path) -> None:
    error = refused(bundle, zipped(tmp_path / "task.zip", content() | {name: b"x"}))
    assert error.what == "an unsafe archive"
    assert error.got.startswith("an entry outside the archive")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind: int, bundle: Path, tmp_path: Path) -> None:
    file = zipped(tmp_path / "task.zip", content())
    link = zipfile.ZipInfo("uneven/link")
    link.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert refused(bundle, file).got.startswith("a link or a device")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    file = zipped(tmp_path / "task.zip", content())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("uneven/task.json", b"{}")
    assert refused(bundle, file).got.startswith("a name that occurs twice")


def test_encrypted_and_strange_entries_are_refused(bundle: Path, tmp_path: Path) -> None:
    plain = zipped(tmp_path / "task.zip", content(), zipfile.ZIP_STORED).read_bytes()
    where = plain.index(b"PK\x01\x02")
    (tmp_path / "task.zip").write_bytes(plain[: where + 8] + b"\1" + plain[where + 9 :])
    assert refused(bundle, tmp_path / "task.zip").got.startswith("an encrypted entry")
    strange = zipped(tmp_path / "task.zip", content(), zipfile.ZIP_LZMA)
    assert refused(bundle, strange).got.startswith("an entry of an unknown compression")


@pytest.mark.parametrize("which", ["task.json", "delta"])
def test_a_bomb_is_refused_before_it_is_unpacked(which: str, bundle: Path, tmp_path: Path) -> None:
    files = content()
    name = next(name for name in files if which in name)
    error = refused(bundle, zipped(tmp_path / "task.zip", files | {name: bytes(30 << 20)}))
    assert error.what == "too large"


def test_a_bomb_that_lies_about_its_size_is_unpacked_no_further(bundle: Path, tmp_path: Path) -> None:
    files = content()
    name = next(name for name in files if "delta" in name)
    file = zipped(tmp_path / "task.zip", files | {name: bytes(30 << 20)})
    data = file.read_bytes()
    file.write_bytes(data.replace((30 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        assert refused(bundle, file).what == "a damaged archive"
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({}, "no task's archive"),
        ({"task.json": b"{}"}, "no task's archive"),
        ({"bundle/tasks/uneven/task.json": b"{}"}, "no task's archive"),
        ({"Bad Name/task.json": b"{}"}, "not a task name"),
        ({"uneven/task.json": b"{}"}, "not a file of this format"),
        ({"uneven/task.json": content()["uneven/task.json"]}, "missing"),
    ],
)
def test_what_is_no_task_is_told_what_is(files: Content, what: str, bundle: Path, tmp_path: Path) -> None:
    assert refused(bundle, zipped(tmp_path / "task.zip", files)).what == what


@pytest.mark.parametrize("place", range(-10, -2))
@pytest.mark.parametrize("value", [0, 1, 255])
def test_a_directory_that_points_nowhere_is_damage(place: int, value: int, packed: Path, bundle: Path) -> None:
    whole = packed.read_bytes()
    packed.write_bytes(whole[:place] + bytes([value]) + whole[place:][1:])
    if packed.read_bytes() != whole:
        assert refused(bundle, packed).what in ("a damaged archive", "no task's archive", "missing")


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 6100), value=st.integers(0, 255), cut=st.booleans())
def test_any_damage_is_one_clear_error_or_none(place: int, value: int, cut: bool, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    whole = pack_task(GOLDEN / "v1-entropy", "uneven")
    place %= len(whole)
    damaged = whole[:place] if cut else whole[:place] + bytes([value]) + whole[place + 1 :]
    file = tmp_path_factory.mktemp("damaged") / "task.zip"
    file.write_bytes(damaged)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    bundle = shutil.copytree(GOLDEN / "v1", file.parent / "bundle")
    try:
        merge(bundle, [file])
    except BundleError:
        return
    for name, data in expected.items():
        assert (bundle / "tasks" / name).read_bytes() == data
