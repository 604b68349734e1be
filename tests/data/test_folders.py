"""Own-data folders, on files written here; widening and matching are checked against NumPy and the file system."""

import os
import pickle
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from stencilnet.data.folders import FolderError, LabelForm, images, labelled, list_images, pairs, side_by_side
from stencilnet.pictures.images import ImageError

ORIENTATION = 0x0112


def picture(seed, size=(6, 4)):
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def as_hwc(tensor):
    return tensor.permute(1, 2, 0).numpy()


class TestImages:
    def test_nested_sorted_and_read_rightly(self, tmp_path):
        wanted = {name: picture(i) for i, name in enumerate(["a/2.png", "a/10.bmp", "b.PNG", "Z.png"])}
        for name, array in wanted.items():
            save(tmp_path / name, array)
        examples = images(tmp_path)
        assert examples.names == ("Z.png", "a/10.bmp", "a/2.png", "b.PNG")
        for example in examples:
            np.testing.assert_array_equal(as_hwc(example.image), wanted[example.name])
            assert example.label is None
            assert example.target is None

    def test_other_and_hidden_files_are_left_out(self, tmp_path):
        save(tmp_path / "a.png", picture(0))
        save(tmp_path / ".thumbnails/a.png", picture(0))
        save(tmp_path / "._a.png", picture(0), format="PNG")
        (tmp_path / "README.md").write_text("about")
        assert images(tmp_path).names == ("a.png",)

    def test_is_a_sequence(self, tmp_path):
        for i in range(5):
            save(tmp_path / f"{i}.png", picture(i))
        examples = images(tmp_path)
        assert len(examples) == 5
        assert examples[-1].name == "4.png"
        assert [e.name for e in examples[1:4:2]] == ["1.png", "3.png"]
        chosen = examples.take([3, 0]).take([1, 0])
        assert chosen.names == ("0.png", "3.png")
        assert [e.name for e in chosen] == ["0.png", "3.png"]
        with pytest.raises(IndexError):
            examples[5]

    def test_can_be_pickled(self, tmp_path):
        save(tmp_path / "a.png", picture(0))
        copy = pickle.loads(pickle.dumps(images(tmp_path)[:]))
        np.testing.assert_array_equal(as_hwc(copy[0].image), picture(0))

    def test_missing_folder(self, tmp_path):
        with pytest.raises(FolderError, match=r"at .*gone, but there is no such folder\. Correct the path"):
            images(tmp_path / "gone")

    def test_file_for_a_folder(self, tmp_path):
        with pytest.raises(FolderError, match="but it is a file"):
            images(save(tmp_path / "a.png", picture(0)))

    def test_empty_folder(self, tmp_path):
        (tmp_path / "a.exr").touch()
        left_out = r"\(1 file was left out, of formats that are not read: \.exr \(1\)\)"
        message = r"\.jpg.* in the folder .*, but got none among its 1 files " + left_out + r"\. Correct"
        with pytest.raises(FolderError, match=message):
            images(tmp_path)

    def test_pictures_of_other_formats_are_counted(self, tmp_path, caplog):
        for name in ("a.jfif", "b.avif", "c.jp2", "d.jpg"):
            save(tmp_path / name, picture(0))
        for name in ("e.exr", "deep/f.EXR", "g.psd", ".h.exr", "notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert images(tmp_path).names == ("a.jfif", "b.avif", "c.jp2", "d.jpg")
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            (
                "WARNING",
                f"{tmp_path}: 3 files were left out, of formats that are not read: .exr (2), .psd (1). Save them as "
                "PNG or JPEG to use them.",
            )
        ]

    def test_other_files_are_left_out_without_a_word(self, tmp_path, caplog):
        save(tmp_path / "a.png", picture(0))
        (tmp_path / "notes.txt").touch()
        assert images(tmp_path).names == ("a.png",)
        assert caplog.records == []

    def test_a_broken_file_is_named_when_read(self, tmp_path):
        (tmp_path / "a.png").touch()
        examples = images(tmp_path)
        with pytest.raises(ImageError, match=r"a\.png: the file is empty"):
            examples[0]

    def test_errors_are_value_errors(self):
        assert issubclass(FolderError, ValueError)

    def test_two_files_of_one_name_are_refused(self, tmp_path):
        for form in ("NFC", "NFD"):
            save(tmp_path / f"{unicodedata.normalize(form, 'é')}.png", picture(0))
        if len(list(tmp_path.iterdir())) == 1:
            pytest.skip("one file on this file system")
        with pytest.raises(FolderError, match=r"but two are called é\.png: one is written in Unicode's form NFC, one"):
            images(tmp_path)

    def test_list_images_gives_paths(self, tmp_path):
        path = save(tmp_path / "deep/er/a.png", picture(0))
        assert list_images(tmp_path) == {"deep/er/a.png": path}


class TestLabelled:
    INDICES = np.array([[0, 1, 11, 255, 3, 4]] * 4, np.uint8)

    def one(self, tmp_path, label, form=None, **options):
        save(tmp_path / "images/a.png", picture(0), **options)
        save(tmp_path / "labels/a.png", label)
        return labelled(tmp_path / "images", tmp_path / "labels", form)

    def test_matched_across_suffixes_and_folders(self, tmp_path):
        for i, name in enumerate(["x/1", "x/2.left", "y/1"]):
            save(tmp_path / f"images/{name}.bmp", picture(i))
            save(tmp_path / f"labels/{name}.png", np.full((4, 6), i, np.uint8))
        examples = labelled(tmp_path / "images", tmp_path / "labels")
        assert examples.names == ("x/1.bmp", "x/2.left.bmp", "y/1.bmp")
        for i, example in enumerate(examples):
            np.testing.assert_array_equal(as_hwc(example.image), picture(i))
            np.testing.assert_array_equal(example.label.numpy(), np.full((4, 6), i))

    @pytest.mark.parametrize("suffix", [".jfif", ".avif", ".jp2", ".JPE"])
    def test_matched_across_new_suffixes(self, tmp_path, suffix):
        save(tmp_path / f"images/a{suffix}", picture(0))
        save(tmp_path / "labels/a.png", self.INDICES)
        assert labelled(tmp_path / "images", tmp_path / "labels")[0].image.shape == (3, 4, 6)

    def test_void_values_become_255(self, tmp_path):
        found = self.one(tmp_path, self.INDICES, LabelForm(void=(11, 4)))[0].label
        np.testing.assert_array_equal(found.numpy(), [[0, 1, 255, 255, 3, 255]] * 4)

    def test_without_void_values_stay(self, tmp_path):
        np.testing.assert_array_equal(self.one(tmp_path, self.INDICES)[0].label.numpy(), self.INDICES)

    def test_threshold(self, tmp_path):
        gray = np.array([[0, 84, 85, 86, 254, 255]] * 4, np.uint8)
        found = self.one(tmp_path, gray, LabelForm(threshold=85))[0].label
        np.testing.assert_array_equal(found.numpy(), [[0, 0, 1, 1, 1, 1]] * 4)

    def test_threshold_of_sixteen_bit_maps_is_on_the_8_bit_scale(self, tmp_path):
        gray = np.array([[0, 84 * 257, 85 * 257, 86 * 257, 65534, 65535]] * 4, np.uint16)
        found = self.one(tmp_path, gray, LabelForm(threshold=85))[0].label
        np.testing.assert_array_equal(found.numpy(), [[0, 0, 1, 1, 1, 1]] * 4)

    def test_exif_rotated_image_fits_its_label(self, tmp_path):
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        label = np.arange(24, dtype=np.uint8).reshape(6, 4)
        example = self.one(tmp_path, label, exif=exif)[0]
        np.testing.assert_array_equal(as_hwc(example.image), np.rot90(picture(0), -1))
        np.testing.assert_array_equal(example.label.numpy(), label)

    def test_sizes_are_compared_after_rotation(self, tmp_path):
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        examples = self.one(tmp_path, self.INDICES, exif=exif)
        with pytest.raises(FolderError, match=r"images/a\.png and .*labels/a\.png .* but got 4x6 and 6x4 pixels"):
            examples[0]

    def test_unmatched_names(self, tmp_path):
        for i in range(6):
            save(tmp_path / f"images/{i}.png", picture(i))
        for name in ("0", "1", "x"):
            save(tmp_path / f"labels/{name}.png", self.INDICES)
        message = (
            r"4 of the 6 in \S+images have no match in \S+labels \(2, 3, 4, \.\.\.\); "
            r"1 of the 3 in \S+labels have no match in \S+images \(x\)\. Add or remove files"
        )
        with pytest.raises(FolderError, match=message):
            labelled(tmp_path / "images", tmp_path / "labels")

    def test_two_images_for_a_label(self, tmp_path):
        save(tmp_path / "images/a.png", picture(0))
        save(tmp_path / "images/a.bmp", picture(0))
        save(tmp_path / "labels/a.png", self.INDICES)
        with pytest.raises(FolderError, match=r"a\.bmp and a\.png differ only in their suffixes.*Keep one"):
            labelled(tmp_path / "images", tmp_path / "labels")

    def test_rgb_labels_are_refused(self, tmp_path):
        with pytest.raises(ImageError, match=r"labels/a\.png to hold one class index per pixel"):
            self.one(tmp_path, picture(1))[0]


@given(
    gray=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 255)),
    threshold=st.integers(1, 255),
    widen=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_widening_is_dilation(tmp_path_factory, gray, threshold, widen):
    folder = tmp_path_factory.mktemp("gray")
    height, width = gray.shape
    save(folder / "images/a.png", picture(0, (width, height)))
    save(folder / "labels/a.png", gray)
    examples = labelled(folder / "images", folder / "labels", LabelForm(threshold=threshold, widen=widen))
    ys, xs = np.nonzero(gray >= threshold)
    wanted = np.zeros((height, width), np.uint8)
    for y, x in zip(ys, xs, strict=True):
        wanted[max(0, y - widen) : y + widen + 1, max(0, x - widen) : x + widen + 1] = 1
    np.testing.assert_array_equal(examples[0].label.numpy(), wanted)


class TestPairs:
    def test_read(self, tmp_path):
        save(tmp_path / "in/a.png", picture(0))
        save(tmp_path / "out/a.bmp", picture(1))
        example = pairs(tmp_path / "in", tmp_path / "out")[0]
        assert example.name == "a.png"
        np.testing.assert_array_equal(as_hwc(example.image), picture(0))
        np.testing.assert_array_equal(as_hwc(example.target), picture(1))
        assert example.label is None

    @pytest.mark.parametrize("stem", ["Müller/é", os.fsdecode(b"caf\xe9")], ids=["normal form", "no UTF-8"])
    def test_matched_whatever_wrote_the_name(self, tmp_path, stem):
        save(tmp_path / f"in/{unicodedata.normalize('NFD', stem)}.jfif", picture(0))
        save(tmp_path / f"out/{unicodedata.normalize('NFC', stem)}.png", picture(1))
        examples = pairs(tmp_path / "in", tmp_path / "out")
        assert examples.names == (f"{stem}.jfif",)
        np.testing.assert_array_equal(as_hwc(examples[0].target), picture(1))

    def test_different_sizes(self, tmp_path):
        save(tmp_path / "in/a.png", picture(0))
        save(tmp_path / "out/a.png", picture(1, (6, 5)))
        examples = pairs(tmp_path / "in", tmp_path / "out")
        message = r"in/a\.png and .*out/a\.png to have one size, but got 6x4 and 6x5 pixels.*Resize or rotate"
        with pytest.raises(FolderError, match=message):
            examples[0]

    def test_unmatched(self, tmp_path):
        save(tmp_path / "in/a.png", picture(0))
        save(tmp_path / "out/b.png", picture(1))
        with pytest.raises(FolderError, match=re.escape("1 of the 1 in")):
            pairs(tmp_path / "in", tmp_path / "out")


class TestSideBySide:
    @pytest.mark.parametrize(("side", "image", "target"), [("left", 0, 1), ("right", 1, 0)])
    def test_halves(self, tmp_path, side, image, target):
        save(tmp_path / "1_AB.png", np.concatenate([picture(0), picture(1)], axis=1))
        example = side_by_side(tmp_path, side)[0]
        np.testing.assert_array_equal(as_hwc(example.image), picture(image))
        np.testing.assert_array_equal(as_hwc(example.target), picture(target))

    def test_odd_width(self, tmp_path):
        save(tmp_path / "1_AB.png", picture(0, (7, 4)))
        examples = side_by_side(tmp_path)
        with pytest.raises(FolderError, match=r"1_AB\.png .* but its width of 7 pixels is odd\. Make both halves"):
            examples[0]
