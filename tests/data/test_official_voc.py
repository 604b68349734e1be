"""VOC 2012 and train_aug: palette indices, SBD's MATLAB files, and the set difference, on files written here."""

import logging
import pickle
import re
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from stencilnet.data.folders import FolderError
from stencilnet.data.official import VOC_CLASSES, VocSource, build_train_aug, voc_palette
from stencilnet.data.official.train_aug import read_mat, train_aug_names

SIZE = (6, 4)


def silent(what, done, total):
    pass


def random_label(seed, top=21):
    return np.random.default_rng(seed).integers(0, top, SIZE[::-1], dtype=np.uint8)


def photo(root, name):
    path = root / "VOCdevkit/VOC2012/JPEGImages" / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (20, 200, 90)).save(path)


def voc_label(root, name, label):
    path = root / "VOCdevkit/VOC2012/SegmentationClass" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label)
    # all colours are the same, so that whoever reads by way of RGB reads nothing
    image.putpalette([9, 9, 9] * 256)
    image.save(path)


def write_list(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def sbd_mat(root, name, label):
    path = root / "benchmark_RELEASE/dataset/cls" / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"GTcls": {"Segmentation": label, "CategoriesPresent": np.unique(label), "Boundaries": [0]}})


TRAIN, VAL = ("2007_000001", "2007_000002"), ("2008_000001", "2008_000002")
SBD_TRAIN, SBD_VAL = ("2007_000002", "2009_000001", "2008_000002"), ("2009_000002", "2008_000001")
AUG = ("2007_000001", "2007_000002", "2009_000001", "2009_000002")


@pytest.fixture
def both(tmp_path):
    """VOC 2012 and SBD: two of SBD's images are in VOC's val, one in its train."""
    lists = tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    for split, names in {"train": TRAIN, "val": VAL, "trainval": TRAIN + VAL}.items():
        write_list(lists / f"{split}.txt", names)
    for seed, name in enumerate(TRAIN + VAL):
        voc_label(tmp_path, name, random_label(seed))
    for split, names in {"train": SBD_TRAIN, "val": SBD_VAL}.items():
        write_list(tmp_path / "benchmark_RELEASE/dataset" / f"{split}.txt", names)
        for seed, name in enumerate(names):
            sbd_mat(tmp_path, name, random_label(10 * len(names) + seed))
    for name in {*TRAIN, *VAL, *SBD_TRAIN, *SBD_VAL}:
        photo(tmp_path, name)
    return tmp_path


class TestNames:
    def test_classes(self):
        assert len(VOC_CLASSES) == 21
        assert [VOC_CLASSES[i] for i in (0, 1, 7, 12, 15, 20)] == [
            *("background", "aeroplane", "car", "dog", "person", "tvmonitor")
        ]

    def test_palette_is_the_official_one(self):
        colours = np.array(voc_palette()).reshape(256, 3).tolist()
        assert colours[:9] == [
            *([0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]),
            *([128, 128, 128], [64, 0, 0]),
        ]
        assert colours[15] == [192, 128, 128]
        assert colours[20] == [0, 64, 128]
        assert colours[255] == [224, 224, 192]


class TestSource:
    def test_reads_indices_in_the_order_of_the_list(self, both):
        label = random_label(0)
        label[0, :3] = 255
        voc_label(both, TRAIN[0], label)
        examples = pickle.loads(pickle.dumps(VocSource(split="train").open(both)))
        assert examples.names == TRAIN
        np.testing.assert_array_equal(examples[0].label, label)
        assert examples[0].image.shape == (3, 4, 6)
        assert VocSource(split="trainval").open(both).names == TRAIN + VAL

    def test_listed_but_absent(self, both):
        (both / "VOCdevkit/VOC2012/JPEGImages/2008_000001.jpg").unlink()
        (both / "VOCdevkit/VOC2012/SegmentationClass/2008_000002.png").unlink()
        with pytest.raises(FolderError) as error:
            VocSource(split="val").open(both)
        voc = both / "VOCdevkit/VOC2012"
        assert str(error.value) == (
            "Expected a complete data set, but "
            f"{voc}/JPEGImages lacks 1 of the 2 files that val.txt lists (2008_000001.jpg); "
            f"{voc}/SegmentationClass lacks 1 of the 2 files that val.txt lists (2008_000002.png). "
            f"Run `stencil data fetch voc2012 --root {both}`: it resumes where it stopped."
        )

    def test_wrong_root(self, tmp_path):
        with pytest.raises(
            FolderError, match=r"but cannot read the list of images .*train.txt: there is no such file. Run"
        ):
            VocSource(split="train").open(tmp_path)

    @pytest.mark.parametrize(
        ("text", "words"),
        [("", "an empty file"), ("a\na\n", "a name twice"), ("../../a\n", "an invalid name '../../a'")],
    )
    def test_a_list_that_is_none(self, both, text, words):
        (both / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").write_text(text)
        with pytest.raises(FolderError, match=re.escape(words)):
            VocSource(split="val").open(both)

    def test_another_size(self, both):
        voc_label(both, TRAIN[0], np.zeros((9, 9), np.uint8))
        with pytest.raises(FolderError, match=r"one size, but got 6x4 and 9x9 pixels .* Delete both"):
            VocSource(split="train").open(both)[0]

    def test_train_aug_not_made(self, both):
        with pytest.raises(FolderError) as error:
            VocSource(split="train_aug").open(both)
        text = str(error.value)
        assert text.startswith("Expected a complete data set, but train_aug is not made yet: there is no file")
        assert f"Run `stencil data fetch voc2012 --root {both}` and `stencil data fetch sbd --root {both}`" in text

    def test_train_aug_that_holds_images_of_val(self, both):
        build_train_aug(both, silent)
        listed = both / "VOCdevkit/VOC2012/ImageSets/Segmentation/train_aug.txt"
        write_list(listed, (*AUG, VAL[1]))
        with pytest.raises(FolderError, match=r"names 1 images of val \(2008_000002\): remove it"):
            VocSource(split="train_aug").open(both)

    def test_settings(self):
        with pytest.raises(ValueError, match=r"one of train, val, trainval, train_aug, but got 'test'"):
            VocSource(split="test")


class TestTrainAug:
    def test_is_the_set_difference_and_voc_is_preferred(self, both):
        told = []
        assert build_train_aug(both, lambda *news: told.append(news)) == 4
        assert told == [("label maps of train_aug", 4, 4)]
        examples = VocSource(split="train_aug").open(both)
        assert examples.names == AUG
        expected = [random_label(0), random_label(1), random_label(31), random_label(20)]
        for example, label in zip(examples, expected, strict=True):
            np.testing.assert_array_equal(example.label, label)

    def test_done_it_is_not_done_again(self, both):
        build_train_aug(both, silent)
        folder = both / "VOCdevkit/VOC2012/SegmentationClassAug"
        times = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
        assert build_train_aug(both, silent) == 4
        assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == times

    def test_interrupted_it_is_not_complete_and_goes_on(self, both):
        damaged = both / "benchmark_RELEASE/dataset/cls/2009_000001.mat"
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:150])
        with pytest.raises(FolderError, match=r"read .*2009_000001.mat: it is damaged or not a label map of SBD"):
            build_train_aug(both, silent)
        folder = both / "VOCdevkit/VOC2012/SegmentationClassAug"
        times = {p: p.stat().st_mtime_ns for p in folder.glob("*.png")}
        assert len(times) == 2
        with pytest.raises(FolderError, match="not made yet"):
            VocSource(split="train_aug").open(both)
        damaged.write_bytes(whole)
        build_train_aug(both, silent)
        assert {p: p.stat().st_mtime_ns for p in times} == times
        assert len(VocSource(split="train_aug").open(both)) == 4

    def test_other_lists_make_it_anew(self, both):
        build_train_aug(both, silent)
        write_list(both / "benchmark_RELEASE/dataset/val.txt", SBD_VAL[1:])
        assert build_train_aug(both, silent) == 3
        assert VocSource(split="train_aug").open(both).names == AUG[:3]

    @pytest.mark.parametrize(
        ("lost", "words"),
        [
            ("benchmark_RELEASE/dataset/cls/2009_000002.mat", "that SBD's val.txt lists (2009_000002.mat)"),
            ("benchmark_RELEASE/dataset/train.txt", "benchmark_RELEASE/dataset/train.txt: there is no such file"),
            ("VOCdevkit/VOC2012/JPEGImages/2009_000001.jpg", "train.txt and SBD's lists name (2009_000001.jpg)"),
            ("VOCdevkit/VOC2012/SegmentationClass/2007_000001.png", "that train.txt lists (2007_000001.png)"),
        ],
    )
    def test_half_unpacked(self, both, lost, words):
        (both / lost).unlink()
        with pytest.raises(FolderError) as error:
            build_train_aug(both, silent)
        assert words in str(error.value)
        assert f"`stencil data fetch sbd --root {both}`" in str(error.value)
        assert not (both / "VOCdevkit/VOC2012/SegmentationClassAug").exists()

    def test_label_maps_of_another_origin_are_left_alone(self, both):
        theirs = both / "VOCdevkit/VOC2012/SegmentationClassAug/2009_000001.png"
        theirs.parent.mkdir()
        theirs.write_bytes(b"theirs")
        with pytest.raises(FolderError, match="another origin"):
            build_train_aug(both, silent)
        assert theirs.read_bytes() == b"theirs"

    def test_without_scipy_says_what_to_install(self, both, monkeypatch):
        monkeypatch.setitem(sys.modules, "scipy.io", None)
        with pytest.raises(ValueError, match=r"pip install 'stencilnet\[data\]'"):
            build_train_aug(both, silent)


def official_lists(root, shared):
    """Lists as long as the official ones; SBD has all of VOC's train but one, and `shared` of its val."""
    train, val = [f"t_{i}" for i in range(1464)], [f"v_{i}" for i in range(1449)]
    sbd = train[1:] + val[:shared]
    sbd += [f"s_{i}" for i in range(8498 + 2857 - len(sbd))]
    for split, names in {"train": train, "val": val}.items():
        write_list(root / "VOCdevkit/VOC2012/ImageSets/Segmentation" / f"{split}.txt", names)
    for split, names in {"train": sbd[:8498], "val": sbd[8498:]}.items():
        write_list(root / "benchmark_RELEASE/dataset" / f"{split}.txt", names)


class TestCount:
    def test_lists_of_the_official_lengths(self, tmp_path, caplog):
        # 11,355 + 1 of VOC's train that SBD lacks - 774 of VOC's val
        official_lists(tmp_path, shared=774)
        with caplog.at_level(logging.WARNING):
            assert len(train_aug_names(tmp_path)) == 10582
        assert not caplog.records

    def test_lists_of_different_releases_are_told(self, tmp_path, caplog):
        official_lists(tmp_path, shared=700)
        assert len(train_aug_names(tmp_path)) == 10656
        assert "train_aug has 10656 images instead of 10582. Check" in caplog.text


class TestMat:
    @pytest.mark.parametrize("value", [21, 254])
    def test_values_that_are_no_class(self, tmp_path, value):
        sbd_mat(tmp_path, "a", np.full((3, 4), value, np.uint8))
        with pytest.raises(FolderError, match=rf"class indices in 0-20 \(H, W\) uint8, but got .* up to {value}"):
            read_mat(tmp_path / "benchmark_RELEASE/dataset/cls/a.mat")

    def test_another_variable(self, tmp_path):
        savemat(tmp_path / "a.mat", {"GTinst": {"Segmentation": random_label(1)}})
        with pytest.raises(FolderError, match=r"it is damaged or not a label map of SBD \(KeyError\('GTcls'\)\)"):
            read_mat(tmp_path / "a.mat")
