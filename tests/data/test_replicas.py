"""Replicas against the official formats, as pycocotools, SciPy and Pillow read them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from scipy.io import loadmat

from stencilnet.data.folders import FolderError, side_by_side
from stencilnet.data.official import COCO_CATEGORIES, LAYOUTS, CocoSource, VocSource, is_replica
from stencilnet.datasets.replicas import REPLICAS, make_replica
from stencilnet.datasets.replicas.pictures import borders, outlines, run_lengths

RAW = {"coco2017": 2, "coco2014": 2, "sbd": 1}
"""How many lines tell what `prepare` makes of the raw replicas."""


def silent(what, done, total):
    pass


def size_of(path):
    with Image.open(path) as image:
        return image.size


def digest(root):
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    for name in LAYOUTS:
        make_replica(name, root)
    return root


@pytest.fixture(scope="module")
def ready(raw, tmp_path_factory):
    root = tmp_path_factory.mktemp("ready") / "root"
    shutil.copytree(raw, root)
    for layout in LAYOUTS.values():
        layout.prepare(root, silent)
    return root


def test_there_is_a_replica_of_every_set():
    assert list(LAYOUTS) == ["coco2017", "coco2014", "voc2012", "sbd", "edges2handbags", "styles"]
    assert set(LAYOUTS) <= set(REPLICAS)
    assert all(layout.name == name for name, layout in LAYOUTS.items())


class TestMake:
    def test_same_bytes_every_time_alone_or_with_others(self, raw, tmp_path):
        for name in ("coco2014", "sbd", "edges2handbags"):
            make_replica(name, tmp_path)
        found = digest(raw)
        again = digest(tmp_path)
        assert again == {path: found[path] for path in again}

    @pytest.mark.parametrize("name", list(LAYOUTS))
    def test_never_over_anything(self, ready, name):
        before = digest(ready)
        with pytest.raises(FolderError, match=r"never overwrites a data set: choose another --root"):
            make_replica(name, ready)
        assert digest(ready) == before

    @pytest.mark.parametrize(
        ("name", "there"),
        [
            ("coco2017", "coco/val2017/a.jpg"),
            ("coco2017", "coco/labels/train2017/a.png"),
            ("voc2012", "VOCdevkit/VOC2012/a"),
            ("styles", "styles/the_scream.jpg"),
        ],
    )
    def test_nor_over_a_part_of_the_real_set(self, tmp_path, name, there):
        (tmp_path / there).parent.mkdir(parents=True)
        (tmp_path / there).write_bytes(b"real")
        with pytest.raises(FolderError, match=f"Expected nothing at {tmp_path}"):
            make_replica(name, tmp_path)
        assert digest(tmp_path) == {there: hashlib.sha256(b"real").hexdigest()}

    def test_one_is_told_from_the_real_set(self, raw, tmp_path):
        assert all(is_replica(name, raw) for name in LAYOUTS)
        assert not is_replica("styles", tmp_path)

    @pytest.mark.parametrize("left", [0, 4])
    def test_an_interrupted_one_names_all_that_is_to_be_removed(self, tmp_path, left):
        make_replica("coco2017", tmp_path)
        places = REPLICAS["coco2017"].places
        for place in places[left:]:
            path = tmp_path / place
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        with pytest.raises(FolderError, match=r"what an interrupted `make` left of it.* remove .* first\.") as told:
            make_replica("coco2017", tmp_path)
        named = str(told.value).removeprefix("Expected nothing at ").partition(", where the replica")[0].split(", ")
        assert named == [str(tmp_path / name) for name in (*places[:left], "replica-coco2017.json")]
        for path in map(Path, named):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        make_replica("coco2017", tmp_path)

    def test_unknown(self, tmp_path):
        with pytest.raises(ValueError, match=r"one of coco2017, .* but got 'coco'"):
            make_replica("coco", tmp_path)

    def test_a_root_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(FolderError, match=r"Cannot make the replica of styles under .*file: "):
            make_replica("styles", tmp_path / "file")


class TestLayouts:
    @pytest.mark.parametrize("name", list(LAYOUTS))
    def test_missing_tells_only_what_prepare_makes(self, raw, ready, tmp_path, name):
        lines = LAYOUTS[name].missing(raw)
        assert len(lines) == RAW.get(name, 0)
        assert all("not made yet" in line for line in lines)
        assert LAYOUTS[name].missing(ready) == ()
        assert LAYOUTS[name].missing(tmp_path)  # nothing there

    def test_prepared_twice_nothing_changes(self, ready):
        before = {p: p.stat().st_mtime_ns for p in ready.rglob("*")}
        for layout in LAYOUTS.values():
            layout.prepare(ready, silent)
        assert {p: p.stat().st_mtime_ns for p in ready.rglob("*")} == before

    @pytest.mark.parametrize(
        ("name", "lost", "words"),
        [
            (
                "coco2017",
                "coco/train2017/000000000026.jpg",
                "train2017 lacks 1 of the 10 files that instances_train2017",
            ),
            (
                "coco2014",
                "coco/labels/val2014/COCO_val2014_000000001609.png",
                "lacks 1 of the 5 files that belong to it",
            ),
            ("coco2014", "coco/annotations/instances_val2014.json", "there is no file "),
            ("coco2017", "coco/labels/val2017/record.json", "are not made yet"),
            ("voc2012", "VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg", "lacks 1 of the 8 files that train.txt lists"),
            ("voc2012", "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", "there is no such file"),
            (
                "sbd",
                "benchmark_RELEASE/dataset/cls/2007_000032.mat",
                "lacks 1 of the 8 files that SBD's train.txt lists",
            ),
            ("sbd", "VOCdevkit/VOC2012/ImageSets/Segmentation/train_aug.txt", "is not made yet"),
            ("sbd", "VOCdevkit/VOC2012/SegmentationClassAug/2007_000032.png", "is not made yet"),
            ("edges2handbags", "edges2handbags/train/3_AB.jpg", "train holds 7 of the 8 images N_AB.jpg"),
            ("styles", "styles/starry_night.jpg", "starry_night.jpg"),
        ],
    )
    def test_half_unpacked(self, ready, tmp_path, name, lost, words):
        root = tmp_path / "root"
        shutil.copytree(ready, root)
        (root / lost).unlink()
        (line,) = LAYOUTS[name].missing(root)
        assert words in line

    def test_half_unpacked_before_it_is_prepared(self, raw, tmp_path):
        root = tmp_path / "root"
        shutil.copytree(raw, root)
        (root / "coco/val2017/000000001609.jpg").unlink()
        lines = LAYOUTS["coco2017"].missing(root)
        assert [line for line in lines if "lacks" in line] == [
            f"{root}/coco/val2017 lacks 1 of the 5 files that instances_val2017.json lists (000000001609.jpg)"
        ]

    def test_truncated_annotations(self, raw, tmp_path):
        root = tmp_path / "root"
        shutil.copytree(raw / "coco", root / "coco")
        path = root / "coco/annotations/instances_val2017.json"
        path.write_bytes(path.read_bytes()[:-1])
        told = f"Cannot read the annotations {path}: it is truncated. Copy or unpack"
        assert any(line.startswith(told) for line in LAYOUTS["coco2017"].missing(root))
        with pytest.raises(FolderError, match=r"instances_val2017.json: corrupt or truncated JSON"):
            LAYOUTS["coco2017"].prepare(root, silent)

    @pytest.mark.parametrize("content", ["{", "[]", '{"train": "x", "val": 1}', "\xff"])
    def test_a_damaged_marker_of_the_handbags(self, raw, tmp_path, content):
        shutil.copytree(raw / "edges2handbags", tmp_path / "edges2handbags")
        (tmp_path / "replica-edges2handbags.json").write_text(content, "latin-1")
        (line,) = LAYOUTS["edges2handbags"].missing(tmp_path)
        assert line.startswith(f"Cannot read {tmp_path}/replica-edges2handbags.json, which marks")
        assert line.endswith(
            f"Delete it and {tmp_path}/edges2handbags, and run `stencil data make edges2handbags --root {tmp_path}`."
        )

    def test_a_part_of_the_real_handbags(self, tmp_path):
        for split in ("train", "val"):
            (tmp_path / "edges2handbags" / split).mkdir(parents=True)
        assert LAYOUTS["edges2handbags"].missing(tmp_path) == (
            f"{tmp_path}/edges2handbags/train holds 0 of the 138567 images N_AB.jpg",
            f"{tmp_path}/edges2handbags/val holds 0 of the 200 images N_AB.jpg",
        )

    def test_sbd_alone_is_whole_and_voc_joins_it_later(self, tmp_path):
        make_replica("sbd", tmp_path)
        LAYOUTS["sbd"].prepare(tmp_path, silent)
        assert LAYOUTS["sbd"].missing(tmp_path) == ()
        make_replica("voc2012", tmp_path)
        assert len(LAYOUTS["sbd"].missing(tmp_path)) == 1
        LAYOUTS["voc2012"].prepare(tmp_path, silent)
        assert LAYOUTS["sbd"].missing(tmp_path) == ()


class TestCoco:
    @pytest.mark.parametrize("split", ["train2017", "val2017", "train2014", "val2014"])
    def test_annotations_are_as_the_official_ones(self, raw, split):
        path = raw / "coco/annotations" / f"instances_{split}.json"
        content = json.loads(path.read_text())
        assert set(content) == {"info", "licenses", "images", "annotations", "categories"}
        assert {c["id"]: c["name"] for c in content["categories"]} == COCO_CATEGORIES
        photos = {p.name: size_of(p) for p in (raw / "coco" / split).iterdir()}
        assert {i["file_name"]: (i["width"], i["height"]) for i in content["images"]} == photos
        assert set(photos.values()) == {(160, 128), (128, 160)}
        prefix = "" if split.endswith("2017") else f"COCO_{split}_"
        assert all(i["file_name"] == f"{prefix}{i['id']:012d}.jpg" for i in content["images"])
        annotated = {a["image_id"] for a in content["annotations"]}
        assert len(annotated) == len(photos) - 1
        ids = [a["id"] for a in content["annotations"]]
        assert len(set(ids)) == len(ids) < max(ids)
        crowds = [a for a in content["annotations"] if a["iscrowd"]]
        assert [type(a["segmentation"]["counts"]) for a in crowds] == [list]
        assert max(a["category_id"] for a in content["annotations"]) > 83  # past the last gap

    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
    def test_maps_against_pycocotools_own_masks(self, raw, ready, capsys):
        annotated = COCO(raw / "coco/annotations/instances_train2017.json")
        examples = CocoSource(split="train").open(ready)
        index = {identity: place for place, identity in enumerate(sorted(COCO_CATEGORIES), 1)}
        for number, image in enumerate(sorted(annotated.imgs.values(), key=lambda i: i["file_name"])):
            label = examples[number].label.numpy()
            owners = np.zeros((256, *label.shape), bool)
            for found in annotated.loadAnns(annotated.getAnnIds(image["id"])):
                value = 255 if found["iscrowd"] else index[found["category_id"]]
                owners[value] |= annotated.annToMask(found).astype(bool)
            claimed = owners.any(0)
            np.testing.assert_array_equal(label > 0, claimed)
            assert owners[(label, *np.indices(label.shape))][claimed].all()

    def test_all_kinds_of_pixels_are_there(self, ready):
        values = {v for e in CocoSource(split="val", year="2014").open(ready) for v in e.label.unique().tolist()}
        assert {0, 1, 255} <= values
        assert max(values - {255}) == 76  # vase, id 86

    def test_outlines_and_run_lengths_are_exact(self):
        from stencilnet.data.official.annotations import Outline, Outlined
        from stencilnet.data.official.rasterize import paint

        region = np.zeros((9, 11), bool)
        region[1:8, 2:10] = True
        region[3:5, 4:6] = region[1, 2] = region[7, 6:] = False  # a hole, and corners
        region[6, 10] = True
        whole = region.copy()
        whole[3:5, 4:6] = True
        for shape, expected in (
            (outlines(region), whole),
            ({"counts": run_lengths(region), "size": [9, 11]}, region),
            ({"counts": run_lengths(~region), "size": [9, 11]}, ~region),
        ):
            outline = Outline(identity=1, category=1, crowd=False, shape=shape)
            label = paint(Outlined(file_name="a.jpg", height=9, width=11, outlines=(outline,)))
            np.testing.assert_array_equal(label == 1, expected)


class TestVoc:
    def test_label_maps_are_palette_pngs_with_void_borders(self, raw):
        for path in (raw / "VOCdevkit/VOC2012/SegmentationClass").iterdir():
            image = Image.open(path)
            assert image.mode == "P"
            assert image.getpalette()[45:48] == [192, 128, 128]  # person
            assert set(np.unique(np.array(image))) <= {*range(21), 255}
            assert (np.array(image) == 255).any()

    def test_sbd_loads_as_the_official_files_do(self, raw):
        dataset = raw / "benchmark_RELEASE/dataset"
        for path in (dataset / "cls").iterdir():
            truth = loadmat(path)["GTcls"]
            assert truth.shape == (1, 1)
            assert set(truth.dtype.names) == {"Boundaries", "Segmentation", "CategoriesPresent"}
            label = truth["Segmentation"][0, 0]
            assert label.dtype == np.uint8
            assert label.shape == size_of(dataset / "img" / f"{path.stem}.jpg")[::-1]
            assert truth["CategoriesPresent"][0, 0].ravel().tolist() == sorted({*np.unique(label).tolist()} - {0})
            edges = truth["Boundaries"][0, 0]
            assert edges.shape == (20, 1)
            np.testing.assert_array_equal(edges[14, 0].toarray(), borders((label == 15).astype(np.uint8)))
            assert loadmat(dataset / "inst" / path.name)["GTinst"]["Segmentation"][0, 0].shape == label.shape

    def test_the_two_fit_each_other(self, raw):
        lists = raw / "VOCdevkit/VOC2012/ImageSets/Segmentation"
        train, val = (set((lists / f"{split}.txt").read_text().split()) for split in ("train", "val"))
        dataset = raw / "benchmark_RELEASE/dataset"
        sbd = {n for split in ("train", "val") for n in (dataset / f"{split}.txt").read_text().split()}
        assert sbd & train
        assert sbd & val
        assert sbd - train - val
        for name in sbd:
            photo = raw / "VOCdevkit/VOC2012/JPEGImages" / f"{name}.jpg"
            assert photo.read_bytes() == (dataset / "img" / f"{name}.jpg").read_bytes()

    def test_train_aug(self, ready):
        names = VocSource(split="train_aug").open(ready).names
        val = VocSource(split="val").open(ready).names
        assert len(names) == 15  # 8 of VOC's train, 12 of SBD of which 3 are in it and 2 in val
        assert not set(names) & set(val)
        for example in VocSource(split="train_aug").open(ready):
            assert example.image.shape[1:] == example.label.shape


class TestPictures:
    def test_handbags(self, ready):
        for split, count in {"train": 8, "val": 4}.items():
            pairs = side_by_side(ready / "edges2handbags" / split)
            assert set(pairs.names) == {f"{n}_AB.jpg" for n in range(1, count + 1)}
            for pair in pairs:
                assert pair.image.shape == pair.target.shape == (3, 256, 256)
                dark = (pair.image < 128).float().mean().item()
                assert 0.005 < dark < 0.2  # black lines on white
                assert pair.target.float().std() > 20

    def test_styles(self, ready):
        for name in ("starry_night.jpg", "the_scream.jpg"):
            assert size_of(ready / "styles" / name) == (384, 384)


def test_a_broken_replica_is_made_anew_not_fetched(tmp_path: Path) -> None:
    make_replica("voc2012", tmp_path)
    next((tmp_path / "VOCdevkit/VOC2012/SegmentationClass").iterdir()).unlink()
    remedy = rf"It is a tiny replica: delete it and run `stencil data make voc2012 --root {tmp_path}`"
    with pytest.raises(FolderError, match=remedy):
        VocSource(split="trainval").open(tmp_path)
