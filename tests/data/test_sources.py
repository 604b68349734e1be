"""Sources as configs spell them, and the split of their names."""

import pickle
import re
from collections import Counter
from pathlib import Path

import cattrs
import numpy as np
import pytest
from cattrs.strategies import configure_tagged_union
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stencilnet.data.folders import FolderError, images
from stencilnet.data.sources import (
    HoldOut,
    ImagesSource,
    LabelledSource,
    PairsSource,
    ScenesSource,
    SideBySideSource,
    Source,
    split,
    split_names,
)


def save(path, value, size=(4, 2), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


class TestOpen:
    def test_images(self, tmp_path):
        save(tmp_path / "photos/a.png", (1, 2, 3))
        (example,) = ImagesSource(folder="photos").open(tmp_path)
        assert example.image[:, 0, 0].tolist() == [1, 2, 3]

    def test_an_absolute_folder_needs_no_root(self, tmp_path):
        save(tmp_path / "photos/a.png", (1, 2, 3))
        assert len(ImagesSource(folder=str(tmp_path / "photos")).open(Path("/elsewhere"))) == 1

    def test_root_itself(self, tmp_path):
        save(tmp_path / "a.png", (1, 2, 3))
        assert ImagesSource(folder=".").open(tmp_path).names == ("a.png",)

    def test_labelled(self, tmp_path):
        save(tmp_path / "x/images/a.jpg", (1, 2, 3))
        save(tmp_path / "x/labels/a.png", 11, mode="L")
        (example,) = LabelledSource(images="x/images", labels="x/labels", void=(11,)).open(tmp_path)
        assert example.label.unique().tolist() == [255]

    def test_labelled_by_threshold(self, tmp_path):
        save(tmp_path / "images/a.jpg", (1, 2, 3), size=(5, 5))
        map_of_one_point = np.zeros((5, 5), np.uint8)
        map_of_one_point[2, 2] = 85
        (tmp_path / "boundaries").mkdir()
        Image.fromarray(map_of_one_point).save(tmp_path / "boundaries/a.png")
        (example,) = LabelledSource(images="images", labels="boundaries", threshold=85, widen=1).open(tmp_path)
        assert example.label.sum() == 9

    def test_pairs(self, tmp_path):
        save(tmp_path / "in/a.png", (1, 2, 3))
        save(tmp_path / "out/a.png", (4, 5, 6))
        (example,) = PairsSource(inputs="in", targets="out").open(tmp_path)
        assert example.image[:, 0, 0].tolist() == [1, 2, 3]
        assert example.target[:, 0, 0].tolist() == [4, 5, 6]

    @pytest.mark.parametrize(("side", "value"), [("left", 1), ("right", 9)])
    def test_side_by_side(self, tmp_path, side, value):
        both = Image.new("RGB", (4, 2), (1, 1, 1))
        both.paste((9, 9, 9), (2, 0, 4, 2))
        both.save(tmp_path / "1_AB.png")
        (example,) = SideBySideSource(folder=".", input=side).open(tmp_path)
        assert example.image.unique().tolist() == [value]
        assert example.target.unique().tolist() == [10 - value]

    def test_scenes(self, tmp_path):
        examples = ScenesSource(count=3, size=32, seed=1, first=5).open(tmp_path)
        assert len(examples) == len(set(examples.names)) == 3
        assert [e.name for e in examples] == list(examples.names)
        assert examples[0].image.shape == (3, 32, 32)
        assert examples[0].label.shape == (32, 32)
        next_ones = ScenesSource(count=2, size=32, seed=1, first=6).open(tmp_path)
        assert next_ones[0].image.equal(examples[1].image)
        assert pickle.loads(pickle.dumps(examples))[2].image.equal(examples[2].image)
        kept, held = split(examples, HoldOut())
        assert kept.names + held.names == examples.names

    def test_what_is_true_of_scenes(self, tmp_path):
        found = {t: ScenesSource(count=1, size=32, truth=t).open(tmp_path)[0] for t in ("labels", "depth", "normals")}
        assert [found[truth].target is None for truth in found] == [True, False, False]
        assert not found["depth"].target.equal(found["normals"].target)

    def test_a_missing_folder_is_named_in_full(self, tmp_path):
        with pytest.raises(FolderError, match=re.escape(str(tmp_path / "photos"))):
            ImagesSource(folder="photos").open(tmp_path)


class TestChecks:
    @pytest.mark.parametrize(
        ("kind", "settings", "message"),
        [
            (ScenesSource, {"count": 0, "size": 64}, "`count` to be at least 1, but got 0"),
            (ScenesSource, {"count": 1, "size": 64, "first": -1}, "`first` to be at least 0, but got -1"),
            (ScenesSource, {"count": 1, "size": 64, "seed": -1}, "`seed` to be at least 0, but got -1"),
            (ScenesSource, {"count": 1, "size": 64, "space": "x"}, "`space` to be one of fine, coarse, but got 'x'"),
            (
                ScenesSource,
                {"count": 1, "size": 64, "truth": "x"},
                "`truth` to be one of labels, boundaries, depth, nor",
            ),
            (ScenesSource, {"count": 1, "size": 8}, "sides from 16 to 4096 pixels, but got 8"),
            (ImagesSource, {"folder": ""}, "`folder` to name a folder ('.' is the data root itself)"),
            (PairsSource, {"inputs": "", "targets": ""}, "`targets` to name a folder"),
            (SideBySideSource, {"folder": "a", "input": "top"}, "`input` to be 'left' or 'right', but got 'top'"),
            (LabelledSource, {"images": "a", "labels": "b", "void": (256,)}, "values in 0-255, but got (256,)"),
            (LabelledSource, {"images": "a", "labels": "b", "threshold": 0}, "`threshold` to lie in 1-255, but got 0"),
            (
                LabelledSource,
                {"images": "a", "labels": "b", "threshold": 85, "widen": -1},
                "`widen` to be at least 0, but got -1",
            ),
            (LabelledSource, {"images": "a", "labels": "b", "widen": 1}, "`widen` to come with `threshold`"),
            (
                LabelledSource,
                {"images": "a", "labels": "b", "threshold": 85, "void": (11,)},
                "`void` or `threshold`, but got both",
            ),
            (HoldOut, {"share": 0.0}, "`share` to lie between 0 and 1, but got 0.0"),
            (HoldOut, {"share": 1.0}, "`share` to lie between 0 and 1, but got 1.0"),
            (HoldOut, {"group": "("}, "`group` to be a regular expression, but got '('"),
        ],
    )
    def test_refused(self, kind, settings, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            kind(**settings)

    def test_all_at_once(self):
        with pytest.raises(ValueError, match=r"`images` to name .*; `labels` to name .*; `widen` to come"):
            LabelledSource(images="", labels="", widen=2)


class TestConfig:
    @pytest.mark.parametrize(
        "source",
        [
            ScenesSource(count=10, size=64, seed=3, first=100, space="coarse", truth="boundaries"),
            ImagesSource(folder="photos"),
            LabelledSource(images="camvid/train/images", labels="camvid/train/labels", void=(11,)),
            LabelledSource(images="i", labels="b", threshold=85, widen=1),
            PairsSource(inputs="a", targets="b"),
            SideBySideSource(folder="edges2handbags/train", input="right"),
        ],
    )
    def test_a_tagged_union_on_kind(self, source):
        converter = cattrs.Converter(forbid_extra_keys=True)
        configure_tagged_union(Source, converter, tag_name="kind", tag_generator=lambda kind: kind.kind)
        record = converter.unstructure(source, Source)
        assert record["kind"] == source.kind
        assert converter.structure(record, Source) == source


CAMVID = [
    *(f"0001TP_{n:06d}.jpg" for n in range(6690, 8550, 30)),
    *(f"0006R0_f{n:05d}.jpg" for n in range(930, 3960, 30)),
    *(f"0016E5_{n:05d}.jpg" for n in range(390, 6510, 30)),
]


class TestSplit:
    def test_camvid_sequences(self):
        assert Counter(name[:6] for name in CAMVID) == {"0001TP": 62, "0006R0": 101, "0016E5": 204}
        kept, held = split_names(CAMVID, HoldOut(share=0.15, group="^[^_]+"))
        assert Counter(CAMVID[i][:6] for i in held) == {"0001TP": 9, "0006R0": 15, "0016E5": 31}
        for sequence in ("0001TP", "0006R0", "0016E5"):
            last_kept = max(CAMVID[i] for i in kept if CAMVID[i].startswith(sequence))
            assert all(CAMVID[i] > last_kept for i in held if CAMVID[i].startswith(sequence))

    def test_one_group_by_name_not_by_position(self):
        names = ["d", "a", "c", "b"]
        assert split_names(names, HoldOut(share=0.5)) == ((1, 3), (0, 2))

    def test_groups_may_be_folders(self):
        names = ["x/1.png", "x/2.png", "y/1.png", "y/2.png"]
        assert split_names(names, HoldOut(share=0.5, group="^[^/]+")) == ((0, 2), (1, 3))

    @given(
        sizes=st.lists(st.integers(2, 30), min_size=1, max_size=4),
        share=st.floats(0.01, 0.7),
        order=st.randoms(use_true_random=False),
    )
    @settings(max_examples=60, deadline=None, derandomize=True)
    def test_laws(self, sizes, share, order):
        names = [f"g{group}_{i:03d}" for group, size in enumerate(sizes) for i in range(size)]
        order.shuffle(names)
        kept, held = split_names(names, HoldOut(share=share, group="^g[0-9]"))
        assert sorted(kept + held) == list(range(len(names)))
        assert list(kept) == sorted(kept)
        assert list(held) == sorted(held)
        for group, size in enumerate(sizes):
            ours = [names[i] for i in held if names[i].startswith(f"g{group}")]
            assert abs(len(ours) - share * size) <= 0.5 or len(ours) == 1
            assert sorted(ours) == [f"g{group}_{i:03d}" for i in range(size - len(ours), size)]

    def test_no_match(self):
        message = (
            "`group` '^seq' to match every file name, but 2 of 3 do not match, such as 'a.png'. Correct the pattern"
        )
        with pytest.raises(ValueError, match=re.escape(message)):
            split_names(["seq1.png", "a.png", "b.png"], HoldOut(group="^seq"))

    def test_nothing_left(self):
        with pytest.raises(ValueError, match=r"all 2 would be held out: they form 2 groups by .* Add examples"):
            split_names(["a.png", "b.png"], HoldOut(group=".*"))

    def test_examples(self, tmp_path):
        for i in range(10):
            save(tmp_path / f"{i}.png", (i, i, i))
        kept, held = split(images(tmp_path), HoldOut(share=0.2))
        assert kept.names == tuple(f"{i}.png" for i in range(8))
        assert [int(e.image.max()) for e in held] == [8, 9]
