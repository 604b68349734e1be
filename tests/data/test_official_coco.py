"""COCO: label maps against hand-drawn ones, annotations that are wrong, and label maps that are made in part."""

import json
import multiprocessing
import os
import pickle
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from stencilnet.data.folders import FolderError
from stencilnet.data.official import COCO_CATEGORIES, COCO_CLASSES, COCO_INDEX, CocoSource, paint, rasterize
from stencilnet.data.official.annotations import Outline, Outlined, listed_quickly, read_annotations
from stencilnet.pictures.images import ImageError
from stencilnet.storage import NEW

PERSON, CAR, TOOTHBRUSH = 1, 3, 90


def silent(what, done, total):
    pass


def outlined(*outlines, height=6, width=8):
    shapes = [Outline(identity=i, category=c, crowd=crowd, shape=s) for i, c, crowd, s in outlines]
    return Outlined(file_name="a.jpg", height=height, width=width, outlines=tuple(shapes))


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def filled(value, left, top, right, bottom, onto=None):
    label = np.zeros((6, 8), np.uint8) if onto is None else onto
    label[top:bottom, left:right] = value
    return label


class TestClasses:
    def test_ids_and_indices_are_the_official_ones(self):
        # the neighbours of every gap in the ids, counted by hand
        table = {1: 1, 11: 11, 13: 12, 25: 24, 27: 25, 28: 26, 31: 27, 44: 40, 46: 41, 65: 60, 67: 61, 70: 62, 72: 63}
        table |= {82: 73, 84: 74, 90: 80}
        assert {i: COCO_INDEX[i] for i in table} == table
        assert set(range(1, 91)) - set(COCO_INDEX) == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
        names = {1: "person", 18: "dog", 44: "bottle", 67: "dining table", 88: "teddy bear", 90: "toothbrush"}
        assert {i: COCO_CATEGORIES[i] for i in names} == names

    def test_classes(self):
        assert len(COCO_CLASSES) == 81
        assert (COCO_CLASSES[0], COCO_CLASSES[1], COCO_CLASSES[12]) == ("background", "person", "stop sign")
        assert COCO_CLASSES[80] == "toothbrush"


class TestPaint:
    def test_polygon_covers_the_pixels_inside(self):
        label = paint(outlined((1, TOOTHBRUSH, False, box(1, 2, 5, 4))))
        np.testing.assert_array_equal(label, filled(80, 1, 2, 5, 4))
        assert label.dtype == np.uint8

    def test_slanted_polygon_against_the_centres_inside(self):
        corners = [(3, 2), (50, 11), (30, 44)]
        label = paint(outlined((1, CAR, False, [[float(v) for c in corners for v in c]]), height=48, width=56))
        y, x = np.mgrid[:48, :56] + 0.5
        sides = [
            (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
            for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True)
        ]
        inside, clear = np.min(sides, 0) > 0, np.min(np.abs(sides), 0) > 45  # 45: a pixel from every side
        np.testing.assert_array_equal((label == 3)[clear], inside[clear])

    def test_run_lengths_go_down_the_columns(self):
        covered = np.random.default_rng(3).random((6, 8)) < 0.5
        covered[0, 0] = False
        counts, value = [0], False
        for bit in covered.T.ravel():
            counts, value = (counts, value) if bit == value else ([*counts, 0], bit)
            counts[-1] += 1
        label = paint(outlined((1, CAR, False, {"counts": counts, "size": [6, 8]})))
        np.testing.assert_array_equal(label, np.where(covered, 3, 0))

    def test_crowd_is_void(self):
        label = paint(outlined((1, PERSON, True, {"counts": [6, 12, 30], "size": [6, 8]})))
        np.testing.assert_array_equal(label, filled(255, 1, 0, 3, 6))

    @pytest.mark.parametrize("turn", [1, -1])
    def test_smaller_object_is_in_front_whatever_the_order(self, turn):
        shapes = [(1, CAR, False, box(2, 2, 4, 4)), (2, PERSON, False, box(0, 0, 6, 5))][::turn]
        expected = filled(3, 2, 2, 4, 4, onto=filled(1, 0, 0, 6, 5))
        np.testing.assert_array_equal(paint(outlined(*shapes)), expected)

    @pytest.mark.parametrize("turn", [1, -1])
    def test_of_two_of_one_size_the_larger_id_is_in_front(self, turn):
        shapes = [(9, CAR, False, box(0, 0, 4, 4)), (5, PERSON, False, box(1, 1, 5, 5))][::turn]
        expected = filled(3, 0, 0, 4, 4, onto=filled(1, 1, 1, 5, 5))
        np.testing.assert_array_equal(paint(outlined(*shapes)), expected)

    def test_a_crowd_never_covers_an_object_not_even_a_larger_one(self):
        shapes = [(1, PERSON, False, box(0, 0, 6, 6)), (2, CAR, True, {"counts": [24, 24], "size": [6, 8]})]
        expected = filled(1, 0, 0, 6, 6, onto=filled(255, 4, 0, 8, 6))
        np.testing.assert_array_equal(paint(outlined(*shapes)), expected)

    def test_polygons_of_one_object_are_joined(self):
        label = paint(outlined((1, CAR, False, box(0, 0, 2, 2) + box(5, 3, 8, 6))))
        np.testing.assert_array_equal(label, filled(3, 5, 3, 8, 6, onto=filled(3, 0, 0, 2, 2)))

    def test_polygons_without_area_cover_nothing(self):
        # the first is annotation 918 of the official train2017; the second would be a box to pycocotools
        flat = [[296.65, 388.33, 296.65, 388.33, 297.68, 388.33, 297.68, 388.33]]
        assert not paint(outlined((918, 58, False, flat), height=480, width=640)).any()
        assert not paint(outlined((1, CAR, False, [[1, 1, 3, 3]]))).any()

    def test_without_annotations_all_is_background(self):
        np.testing.assert_array_equal(paint(outlined()), np.zeros((6, 8)))

    def test_without_pycocotools_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pycocotools", None)
        monkeypatch.delitem(sys.modules, "pycocotools.mask", raising=False)
        with pytest.raises(ValueError, match=r"pip install 'stencilnet\[data\]'"):
            paint(outlined())


CATEGORIES = [{"id": identity, "name": name} for identity, name in COCO_CATEGORIES.items()]


def content(count=3):
    return {
        "images": [{"id": 10 + 7 * i, "file_name": f"{i:012d}.jpg", "height": 6, "width": 8} for i in range(count)],
        "annotations": [
            {
                "id": 100 + i,
                "image_id": 10 + 7 * i,
                "category_id": CAR,
                "iscrowd": 0,
                "segmentation": box(i % 5, 1, 7, 4),
            }
            for i in range(count)
        ],
        "categories": CATEGORIES,
    }


def lay_out(root, found, split="train2017"):
    """Write annotations and photos where COCO has them."""
    path = root / "coco" / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    photos = root / "coco" / split
    photos.mkdir(exist_ok=True)
    for image in found["images"]:
        Image.new("RGB", (image["width"], image["height"]), (200, 30, 60)).save(photos / image["file_name"])
    return path, root / "coco" / "labels" / split


class TestBadAnnotations:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda c: c["annotations"][1].update(category_id=12), "category 12, which annotation 101 names"),
            (lambda c: c["annotations"][1].update(image_id=11), "image 11, which annotation 101 names"),
            (lambda c: c["annotations"][1].update(segmentation=[]), "annotation 101 has no outline"),
            (
                lambda c: c["annotations"][1].update(segmentation=[[1, 1, 2]]),
                "annotation 101 has a polygon that is not",
            ),
            (
                lambda c: c["annotations"][1].update(segmentation=[[1, 1, 2, float("nan"), 3, 3]]),
                "far outside its image",
            ),
            (
                lambda c: c["annotations"][1].update(segmentation=[[1, 1, 2, "2", 3, 3]]),
                "not a list of pairs of numbers",
            ),
            (lambda c: c["annotations"][1].update(segmentation=[[1, 1, 2, 10**400, 3, 3]]), "far outside its image"),
            (lambda c: c["annotations"][1].update(segmentation=[[1, 1, 2, 1e9, 3, 3]]), "far outside its image"),
            (
                lambda c: c["annotations"][1].update(segmentation={"counts": [9], "size": [6, 8]}),
                "9 pixels in an image",
            ),
            (lambda c: c["annotations"][1].update(segmentation={"counts": [48], "size": [8, 6]}), "size [8, 6] in an"),
            (
                lambda c: c["annotations"][1].update(segmentation={"counts": "a0", "size": [6, 8]}),
                "not a list of non-negative integ",
            ),
            (lambda c: c["annotations"][1].update(iscrowd=2), "annotations with id, image_id, category_id and iscrowd"),
            (lambda c: c["annotations"].append(None), "but number 3 is None"),
            (lambda c: c["images"].append(c["images"][0]), "image 10 (000000000000.jpg) twice"),
            (lambda c: c["images"][0].update(file_name="../../a.jpg"), "to list images with id, file_name (*.jpg)"),
            (lambda c: c["images"][0].update(height=0), "to list images with id, file_name (*.jpg)"),
            (lambda c: c.update(images=[], annotations=[]), "to list images, but got none"),
            (lambda c: c.update(categories=[{"id": 1, "name": "cell"}]), "its category 1 is 'cell' (COCO's: 'person')"),
            (lambda c: c.update(categories=[{"id": 12, "name": "sign"}]), "COCO's: 'no category'"),
            (lambda c: c.pop("categories"), "but got no categories"),
        ],
    )
    def test_one_error_names_file_annotation_and_remedy(self, tmp_path, change, words):
        found = content()
        path, labels = lay_out(tmp_path, found)
        change(found)
        path.write_text(json.dumps(found))
        with pytest.raises(FolderError) as error:
            rasterize(path, labels, silent)
        text = str(error.value)
        assert words in text
        assert str(path) in text
        assert text.endswith("Copy or unpack the official annotation file again.")
        assert not labels.exists()

    def test_truncated(self, tmp_path):
        path, _ = lay_out(tmp_path, content())
        path.write_bytes(path.read_bytes()[:-900])
        with pytest.raises(FolderError, match=r"instances_train2017.json: corrupt or truncated JSON"):
            read_annotations(path)
        with pytest.raises(FolderError, match=r"it is truncated"):
            listed_quickly(path)

    def test_missing(self, tmp_path):
        with pytest.raises(FolderError, match=r"Cannot read the annotations .*none.json: No such file"):
            rasterize(tmp_path / "none.json", tmp_path / "labels", silent)


class TestListedQuickly:
    @pytest.mark.parametrize("turn", [1, -1])
    def test_wherever_the_images_stand(self, tmp_path, turn):
        path = tmp_path / "a.json"
        path.write_text(json.dumps(dict(list(content().items())[::turn])))
        assert listed_quickly(path) == tuple(f"{i:012d}.jpg" for i in range(3))


class Stop(KeyboardInterrupt):
    pass


def stop(what, done, total):
    if 0 < done < total:
        raise Stop


class TestRasterize:
    def test_every_image_has_its_map(self, tmp_path):
        path, labels = lay_out(tmp_path, content())
        told = []
        assert rasterize(path, labels, lambda *news: told.append(news)) == 3
        assert told == [("label maps of train2017", 0, 3), ("label maps of train2017", 3, 3)]
        for i in range(3):
            image = Image.open(labels / f"{i:012d}.png")
            assert image.mode == "P"
            assert image.getpalette()[9:12] == [128, 128, 0]  # VOC's colour of 3
            np.testing.assert_array_equal(np.array(image), filled(3, i, 1, 7, 4))
        assert sorted(p.suffix for p in labels.iterdir()) == [".json", ".png", ".png", ".png"]

    def test_interrupted_it_is_not_complete_and_goes_on(self, tmp_path):
        path, labels = lay_out(tmp_path, content(count=70))
        with pytest.raises(Stop):
            rasterize(path, labels, stop)
        made = {p.name: p.stat().st_mtime_ns for p in labels.glob("*.png")}
        assert len(made) == 50
        with pytest.raises(FolderError, match=r"are incomplete. Run `stencil data fetch coco2017 --root"):
            CocoSource(split="train").open(tmp_path)
        cut = labels / f"{7:012d}.png"  # as after a power failure
        cut.write_bytes(cut.read_bytes()[:-20])
        counts = []
        assert rasterize(path, labels, lambda what, done, total: counts.append(done)) == 70
        assert counts == [49, 50, 70]
        remade = {name for name, time in made.items() if (labels / name).stat().st_mtime_ns != time}
        assert remade == {cut.name}
        assert len(CocoSource(split="train").open(tmp_path)) == 70

    def test_processes_make_the_same_files(self, tmp_path):
        path, labels = lay_out(tmp_path, content(count=70))
        rasterize(path, labels, silent)
        rasterize(path, tmp_path / "other", silent, workers=2)
        assert {p.name: p.read_bytes() for p in labels.glob("*")} == {
            p.name: p.read_bytes() for p in (tmp_path / "other").glob("*")
        }

    def test_a_killed_process_is_told(self, tmp_path):
        path, labels = lay_out(tmp_path, content(count=70))
        before, over = set(multiprocessing.active_children()), threading.Event()

        def wait_and_kill():
            # Both, for Python's pool itself stumbles over a process that ends while it starts another.
            while not over.wait(0.01):
                if len(drawing := set(multiprocessing.active_children()) - before) == 2:
                    drawing.pop().kill()
                    return

        killer = threading.Thread(target=wait_and_kill)
        killer.start()
        try:
            with pytest.raises(FolderError, match=r"A process that draws label maps was killed.* again to resume"):
                rasterize(path, labels, silent, workers=2)
        finally:
            over.set()  # else it would wait for the processes of other tests
            killer.join()

    def test_of_other_annotations_it_is_refused_and_made_anew(self, tmp_path):
        found = content()
        path, labels = lay_out(tmp_path, found)
        rasterize(path, labels, silent)
        found["annotations"][0]["category_id"] = 4  # the file's size stays
        path.write_text(json.dumps(found))
        os.utime(path, ns=(1, 1))
        with pytest.raises(FolderError, match=r"are made from other annotations than .*instances_train2017.json"):
            CocoSource(split="train").open(tmp_path)
        rasterize(path, labels, silent)
        assert CocoSource(split="train").open(tmp_path)[0].label.max() == 4

    def test_a_copy_with_another_time_is_the_same(self, tmp_path):
        path, labels = lay_out(tmp_path, content())
        rasterize(path, labels, silent)
        os.utime(path, ns=(1, 1))
        assert len(CocoSource(split="train").open(tmp_path)) == 3

    def test_what_a_crash_left_is_no_label_map(self, tmp_path):
        path, labels = lay_out(tmp_path, content())
        labels.mkdir(parents=True)
        (labels / f"{NEW}0123.png").write_bytes(b"half")
        rasterize(path, labels, silent)
        assert len(CocoSource(split="train").open(tmp_path)) == 3

    def test_files_of_another_origin_are_left_alone(self, tmp_path):
        path, labels = lay_out(tmp_path, content())
        labels.mkdir(parents=True)
        (labels / "mine.png").write_bytes(b"mine")
        with pytest.raises(FolderError, match=r"1 PNG files of another origin \(mine.png\). Move them"):
            rasterize(path, labels, silent)
        assert (labels / "mine.png").read_bytes() == b"mine"

    def test_a_file_where_the_folder_should_be(self, tmp_path):
        path, labels = lay_out(tmp_path, content())
        labels.parent.mkdir()
        labels.write_text("")
        with pytest.raises(FolderError, match=r"(Cannot read|Cannot write) .*train2017.*Not a directory"):
            rasterize(path, labels, silent)

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        path, labels = lay_out(tmp_path, content(count=70))
        with pytest.raises(Stop):
            rasterize(path, labels, stop)
        for name in (f"{i:012d}.png" for i in range(50, 70)):
            (labels / name).mkdir()  # nothing can be renamed onto a folder, whoever runs the tests
        with pytest.raises(FolderError, match=r"Cannot write .*000000000050.png: .* again to resume"):
            rasterize(path, labels, silent)
        assert not list(labels.glob(".*"))


class TestSource:
    def made(self, root, **more):
        path, labels = lay_out(root, content())
        rasterize(path, labels, silent)
        return CocoSource(split="train", **more)

    def test_reads_photos_and_maps(self, tmp_path):
        examples = pickle.loads(pickle.dumps(self.made(tmp_path).open(tmp_path)))
        assert examples.names == tuple(f"{i:012d}.jpg" for i in range(3))
        assert examples[1].image.shape == (3, 6, 8)
        np.testing.assert_array_equal(examples[1].label, filled(3, 1, 1, 7, 4))

    def test_photos_alone(self, tmp_path):
        examples = self.made(tmp_path, labels=False).open(tmp_path)
        assert examples.names == tuple(f"{i:012d}.jpg" for i in range(3))
        assert examples[1].label is None

    def test_listed_but_absent(self, tmp_path):
        source = self.made(tmp_path)
        for i in (0, 2):
            (tmp_path / "coco/train2017" / f"{i:012d}.jpg").unlink()
        (tmp_path / "coco/labels/train2017" / f"{1:012d}.png").unlink()
        with pytest.raises(FolderError) as error:
            source.open(tmp_path)
        assert str(error.value) == (
            "Expected a complete data set, but "
            f"{tmp_path}/coco/labels/train2017 lacks 1 of the 3 files that belong to its images (000000000001.png); "
            f"{tmp_path}/coco/train2017 lacks 2 of the 3 files that instances_train2017.json lists (000000000000.jpg, "
            f"000000000002.jpg). Run `stencil data fetch coco2017 --root {tmp_path}`: it resumes where it stopped."
        )

    def test_wrong_root(self, tmp_path):
        with pytest.raises(FolderError) as error:
            CocoSource(split="val", year="2014").open(tmp_path)
        text = str(error.value)
        assert text.startswith(
            f"Expected a complete data set, but there is no file {tmp_path}/coco/annotations/instances_val2014.json;"
        )
        assert (
            f"there is no folder {tmp_path}/coco/val2014. Run `stencil data fetch coco2014 --root {tmp_path}`" in text
        )

    def test_a_photo_of_another_size(self, tmp_path):
        source = self.made(tmp_path)
        Image.new("RGB", (4, 4)).save(tmp_path / "coco/train2017" / f"{1:012d}.jpg")
        with pytest.raises(
            FolderError, match=r"one size, but got 4x4 and 8x6 pixels .* Delete both.* `stencil data fetch coco2017"
        ):
            source.open(tmp_path)[1]

    def test_a_broken_photo(self, tmp_path):
        source = self.made(tmp_path)
        (tmp_path / "coco/train2017" / f"{1:012d}.jpg").write_bytes(b"no picture")
        with pytest.raises(ImageError, match=r"000000000001.jpg"):
            source.open(tmp_path)[1]

    @pytest.mark.parametrize("orientation", [3, 6])
    def test_pixels_are_taken_as_stored(self, tmp_path, orientation):
        source = self.made(tmp_path)
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = np.zeros((6, 8, 3), np.uint8)
        stored[:3] = 255
        file = tmp_path / "coco/train2017" / f"{1:012d}.jpg"
        Image.fromarray(stored).save(file, exif=exif, quality=100)
        image = source.open(tmp_path)[1].image
        assert image.shape == (3, 6, 8)
        assert image[:, 0].min() > 200
        assert image[:, -1].max() < 50

    def test_a_broken_record(self, tmp_path):
        source = self.made(tmp_path)
        (tmp_path / "coco/labels/train2017/record.json").write_text("{")
        with pytest.raises(FolderError, match=r"record.json, the record of what .* Remove the folder"):
            source.open(tmp_path)

    @pytest.mark.parametrize(
        ("wrong", "expected"),
        [({"year": "2015"}, "`year` to be '2014' or '2017'"), ({"split": "test"}, "`split` to be 'train' or 'val'")],
    )
    def test_settings(self, wrong, expected):
        with pytest.raises(ValueError, match=f"Expected {expected}, but got"):
            CocoSource(**{"split": "train", **wrong})
