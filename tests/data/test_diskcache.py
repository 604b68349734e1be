"""The cache on disk changes no bit of what is seen, whatever happens to its files."""

import dataclasses
import errno
import logging
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from stencilnet.data import diskcache
from stencilnet.data.classes import class_folders
from stencilnet.data.diskcache import DiskCache, decode, encode
from stencilnet.data.folders import Examples, LabelForm, images, labelled, pairs, side_by_side
from stencilnet.data.official.coco import CocoSource
from stencilnet.data.official.layouts import LAYOUTS
from stencilnet.data.official.voc import VocSource
from stencilnet.data.samples import EvaluationSamples, TrainingSamples
from stencilnet.data.sources import ImagesSource, ScenesSource, SideBySideSource
from stencilnet.data.transforms import View, resized
from stencilnet.datasets.replicas import make_replica
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Example

COUNT = 5
TASK = Segmentation(classes=("back", "front"))
VIEW = View(crop=16, resize=20, scale=(0.5, 2.0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    drawn = np.random.default_rng(0)
    for folder in ("images", "labels", "targets"):
        (tmp_path / folder).mkdir()
    for i in range(COUNT):
        pixels = drawn.integers(0, 256, (24 + i, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{i}.jpg")
        Image.fromarray(255 - pixels).save(tmp_path / f"targets/{i}.png")
        Image.fromarray((pixels[..., 0] > 127).astype(np.uint8)).save(tmp_path / f"labels/{i}.png")
    return tmp_path


def source_of(root: Path) -> Examples:
    return labelled(root / "images", root / "labels")


def parts(example):
    return [None if part is None else part.clone() for part in (example.image, example.label, example.target)]


def same(first, second) -> bool:
    return (first.name, first.category) == (second.name, second.category) and all(
        (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b))
        for a, b in zip(parts(first), parts(second), strict=True)
    )


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def unread(source: Examples) -> Examples:
    """The same examples, which must not be read."""

    def read(index: int):
        raise AssertionError(f"example {index} was read")

    return Examples(names=source.names, read=read, origin=source.origin)


@pytest.mark.parametrize("view", [View(crop=16), View(crop=16, resize=20), View(crop=16, resize=50)])
@pytest.mark.parametrize(
    "open_source",
    [
        lambda root: images(root / "images"),
        source_of,
        lambda root: pairs(root / "images", root / "targets"),
        lambda root: side_by_side(root / "targets", "right"),
        lambda root: source_of(root).take([3, 1]),
    ],
)
def test_kept_examples_are_equal_and_not_read_again(open_source, view: View, root: Path) -> None:
    source = open_source(root)
    cache = DiskCache(source, view, root / "cache")
    made = [cache[i] for i in range(len(cache))]
    kept = [DiskCache(unread(source), view, root / "cache")[i] for i in range(len(cache))]
    for i, (first, second) in enumerate(zip(made, kept, strict=True)):
        assert same(first, resized(source[i], view))
        assert same(second, first)
    assert len(files(root / "cache")) == len(source)


def test_samples_are_the_same_bytes_with_and_without_and_by_workers(root: Path) -> None:
    source, disk = source_of(root), root / "cache"
    keys = [(epoch, index) for epoch in (0, 7) for index in range(COUNT)]
    plain = TrainingSamples(source, VIEW, TASK, seed=3)
    expected = [plain[key] for key in keys]
    for _ in range(2):  # filled, then read
        samples = TrainingSamples(source, VIEW, TASK, seed=3, cache=0, disk=disk)
        loader = DataLoader(samples, sampler=keys, batch_size=None, num_workers=2)
        for found, wanted in zip(loader, expected, strict=True):
            assert found.keys() == wanted.keys()
            assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    whole = EvaluationSamples(source, VIEW, TASK, whole=True)
    kept = EvaluationSamples(unread(source), VIEW, TASK, whole=True, disk=disk)
    assert all(torch.equal(whole[i]["input"], kept[i]["input"]) for i in range(COUNT))


def test_another_way_of_reading_is_another_file(root: Path) -> None:
    forms = [LabelForm(), LabelForm(void=(1,)), LabelForm(threshold=1, widen=1)]
    for form in forms:
        source = labelled(root / "images", root / "labels", form)
        for view in (VIEW, View(crop=16, resize=21)):
            assert same(DiskCache(source, view, root / "cache")[0], resized(source[0], view))
            assert same(DiskCache(source, view, root / "cache")[0], resized(source[0], view))
    assert len(files(root / "cache")) == len(forms) * 2


def test_every_field_of_an_example_is_kept() -> None:
    fields = {
        "name": "a/b.jpg",
        "image": torch.arange(3 * 2 * 3, dtype=torch.uint8).view(3, 2, 3),
        "label": torch.full((2, 3), 255, dtype=torch.uint8),
        "target": torch.ones(3, 2, 3, dtype=torch.uint8),
        "category": 7,
    }
    assert {field.name for field in dataclasses.fields(Example)} == fields.keys()
    kept = decode(bytearray(encode(Example(**fields), ["stamp"])), ["stamp"])
    assert kept is not None
    assert same(kept, Example(**fields))


def test_classes_that_move_up_are_noticed(root: Path) -> None:
    for name in ("birds", "cats"):
        (root / "classes" / name).mkdir(parents=True)
        shutil.copy2(root / "images/0.jpg", root / "classes" / name / "a.jpg")
    for expected in ({"birds/a.jpg": 0, "cats/a.jpg": 1}, {"ants/a.jpg": 0, "birds/a.jpg": 1, "cats/a.jpg": 2}):
        source = class_folders(root / "classes")
        cache = DiskCache(source, VIEW, root / "cache")
        for _ in range(2):
            assert {cache[i].name: cache[i].category for i in range(len(cache))} == expected
        shutil.copytree(root / "classes/birds", root / "classes/ants", dirs_exist_ok=True)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_official_data_sets_can_be_kept(name: str, tmp_path: Path) -> None:
    make_replica(name, tmp_path)
    LAYOUTS[name].prepare(tmp_path, lambda *_: None)
    sources = {
        "coco2017": CocoSource(year="2017", split="val"),
        "coco2014": CocoSource(year="2014", split="val", labels=False),
        "voc2012": VocSource(split="val"),
        "sbd": VocSource(split="train_aug"),
        "edges2handbags": SideBySideSource(folder="edges2handbags/val"),
        "styles": ImagesSource(folder="styles"),
    }
    if name == "sbd":
        make_replica("voc2012", tmp_path)
        LAYOUTS["sbd"].prepare(tmp_path, lambda *_: None)
    source = sources[name].open(tmp_path)
    cache = DiskCache(source, VIEW, tmp_path / "cache")
    assert all(same(cache[i], resized(source[i], VIEW)) for i in range(len(cache)))
    kept = DiskCache(unread(source), VIEW, tmp_path / "cache")
    assert all(same(kept[i], cache[i]) for i in range(len(cache)))


def test_a_changed_source_is_read_anew(root: Path) -> None:
    source = source_of(root)
    DiskCache(source, VIEW, root / "cache")[0]
    path = root / "images/0.jpg"
    before = path.stat()
    Image.new("RGB", (32, 24), "red").save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert same(DiskCache(source, VIEW, root / "cache")[0], resized(source[0], VIEW))
    assert same(DiskCache(unread(source), VIEW, root / "cache")[0], resized(source[0], VIEW))
    assert len(files(root / "cache")) == 1


def test_entries_of_other_code_are_made_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(root)
    DiskCache(source, VIEW, root / "cache")[0]
    (path,) = files(root / "cache")
    before = path.read_bytes()
    monkeypatch.setattr(diskcache, "_PIXELS", diskcache._PIXELS + 1)
    with pytest.raises(AssertionError, match="example 0 was read"):
        DiskCache(unread(source), VIEW, root / "cache")[0]
    assert same(DiskCache(source, VIEW, root / "cache")[0], resized(source[0], VIEW))
    assert files(root / "cache") == [path]
    assert path.read_bytes() != before
    assert same(DiskCache(unread(source), VIEW, root / "cache")[0], resized(source[0], VIEW))


def test_a_source_that_is_gone_is_missed_though_it_is_kept(root: Path) -> None:
    source = source_of(root)
    DiskCache(source, VIEW, root / "cache")[0]
    (root / "images/0.jpg").unlink()
    with pytest.raises(ValueError, match=r"images/0\.jpg: there is no such file"):
        DiskCache(source, VIEW, root / "cache")[0]


@pytest.mark.parametrize("where", [0, 12, 20, 100, -1])
def test_a_flipped_bit_is_noticed_and_mended(where: int, root: Path) -> None:
    source = source_of(root)
    expected = DiskCache(source, VIEW, root / "cache")[0]
    (path,) = files(root / "cache")
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[where] ^= 4
    path.write_bytes(damaged)
    assert same(DiskCache(source, VIEW, root / "cache")[0], expected)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("length", [0, 5, 12, 16, 60, 500])
def test_a_cut_file_is_noticed_and_mended(length: int, root: Path) -> None:
    source = source_of(root)
    expected = DiskCache(source, VIEW, root / "cache")[0]
    (path,) = files(root / "cache")
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    assert same(DiskCache(source, VIEW, root / "cache")[0], expected)
    assert path.read_bytes() == whole


def test_a_full_disk_is_said_once_and_work_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(root)
    cache = DiskCache(source, VIEW, root / "cache")
    cache[0]

    def full(_path: Path, _content: bytes, *, sync: bool) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(diskcache, "write_file", full)
    with caplog.at_level(logging.WARNING):
        assert all(same(cache[i], resized(source[i], VIEW)) for i in range(COUNT))
    assert len(caplog.records) == 1
    assert "No space left on device" in caplog.text
    assert "set `trainer.cache` to another folder" in caplog.text
    assert len(files(root / "cache")) == 1


def _fill(root: Path, start, failures) -> None:
    source = source_of(root)
    start.wait()
    for _ in range(20):
        cache = DiskCache(source, VIEW, root / "cache")
        for i in range(COUNT):
            if not same(cache[i], resized(source[i], VIEW)):
                failures.put(i)
            for path in files(root / "cache")[:1]:
                path.unlink(missing_ok=True)


def test_two_processes_fill_one_folder(root: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, failures = context.Barrier(2), context.SimpleQueue()
    processes = [context.Process(target=_fill, args=(root, start, failures)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert failures.empty()
    assert all(path.suffix == ".example" for path in files(root / "cache"))


def test_it_travels_to_a_worker(root: Path) -> None:
    cache = pickle.loads(pickle.dumps(DiskCache(source_of(root), VIEW, root / "cache")))
    assert same(cache[1], resized(source_of(root)[1], VIEW))


def test_drawn_examples_are_not_kept(tmp_path: Path) -> None:
    scenes = ScenesSource(count=2, size=32).open(tmp_path)
    samples = TrainingSamples(scenes, View(crop=32), TASK, seed=0, disk=tmp_path / "cache")
    assert samples.examples[0].image.shape == (3, 32, 32)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ValueError, match="made from files"):
        DiskCache(scenes, VIEW, tmp_path / "cache")


def test_a_file_is_no_folder(root: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.jpg is a file"):
        DiskCache(source_of(root), VIEW, root / "images/0.jpg")
