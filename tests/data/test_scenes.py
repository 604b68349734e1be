"""The embedded scenes: the same everywhere, labelled truly, and neither trivial nor hopeless to colour."""

import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from stencilnet.scenes import (
    SPACES,
    STYLES,
    Fine,
    LabelSpace,
    Scenes,
    dataset,
    draw_scene,
    measure_scene,
    paint_style,
    painting,
)
from stencilnet.tasks.task import Example

COUNT = 200


@pytest.fixture(scope="module")
def world():
    """Images (N, 64, 64, 3) and labels (N, 64, 64) of the first scenes."""
    scenes = [draw_scene(0, index, 64) for index in range(COUNT)]
    return np.stack([scene.image for scene in scenes]), np.stack([scene.labels for scene in scenes])


@pytest.fixture(scope="module")
def styles():
    """The style pictures at 256 pixels, float64 in [0, 1]."""
    return {name: paint_style(name, 256) / 255 for name in STYLES}


def digest(*arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def scene_digest(seed, index, size):
    scene = draw_scene(seed, index, size)
    return digest(scene.image, scene.labels)


class TestDrawScene:
    @pytest.mark.parametrize(
        ("size", "shape"), [(64, (64, 64)), ((48, 80), (48, 80)), ((81, 33), (81, 33)), (16, (16, 16))]
    )
    def test_shapes_and_types(self, size, shape):
        scene = draw_scene(3, 1, size)
        assert scene.image.shape == (*shape, 3)
        assert scene.labels.shape == shape
        assert scene.image.dtype == scene.labels.dtype == np.uint8
        assert scene.labels.max() < len(Fine)

    def test_is_a_pure_function(self):
        first = [scene_digest(5, index, 64) for index in range(4)]
        np.random.seed(1)  # noqa: NPY002 (to show that the global generator plays no part)
        torch.manual_seed(1)
        assert [scene_digest(5, index, 64) for index in reversed(range(4))] == first[::-1]
        assert len({*first, scene_digest(6, 0, 64)}) == 5

    def test_is_the_same_in_another_process(self):
        code = (
            "import hashlib; from stencilnet.scenes import draw_scene; s = draw_scene(2, 7, 64); "
            "print(hashlib.sha256(s.image.tobytes() + s.labels.tobytes()).hexdigest())"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "77"},
        )
        assert ran.stdout.strip() == scene_digest(2, 7, 64)

    def test_composition_is_the_same_at_every_size(self):
        agreement = []
        for index in range(16):
            small, large = draw_scene(0, index, 64), draw_scene(0, index, 256)
            agreement.append((small.labels == large.labels[2::4, 2::4]).mean())
            reduced = large.image.reshape(64, 4, 64, 4, 3).mean((1, 3))
            assert np.corrcoef(reduced.ravel(), small.image.ravel().astype(float))[0, 1] > 0.92
        assert np.mean(agreement) > 0.93
        assert min(agreement) > 0.85

    def test_edges_of_labels_are_edges_of_the_picture(self, world):
        images, labels = world
        gray = images.astype(float).mean(-1)
        step = np.abs(np.diff(gray, axis=2))
        border = labels[:, :, 1:] != labels[:, :, :-1]
        assert step[border].mean() > 2.5 * step[~border].mean()
        shifted = np.roll(border, 4, axis=2)
        assert step[border].mean() > 1.8 * step[shifted].mean()

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ((0.5, 0, 64), TypeError, r"Expected argument `seed` to be an int, but got 0.5 \(float\)"),
            ((True, 0, 64), TypeError, r"Expected argument `seed` to be an int, but got True \(bool\)"),
            ((0, -1, 64), ValueError, "Expected argument `index` to be 0 or more, but got -1."),
            ((0, 0, "64"), TypeError, r"Expected argument `size` to be an int or a pair \(height, width\)"),
            ((0, 0, (64, 64, 3)), TypeError, r"but got \(64, 64, 3\)"),
            ((0, 0, True), TypeError, "but got True"),
            ((0, 0, 8), ValueError, "sides from 16 to 4096 pixels, but got 8. Draw at a size within the range"),
            ((0, 0, (64, 5000)), ValueError, r"but got \(64, 5000\)"),
        ],
    )
    def test_errors(self, arguments, error, message):
        with pytest.raises(error, match=message):
            draw_scene(*arguments)


class TestStatistics:
    @pytest.mark.parametrize("name", list(SPACES))
    def test_every_class_has_its_share(self, world, name):
        space = SPACES[name]
        labels = np.array(space.from_fine)[world[1]]
        share = np.bincount(labels.ravel(), minlength=len(space.classes)) / labels.size
        scenes = [(labels == k).any((1, 2)).mean() for k in range(len(space.classes))]
        rare = [name for name, value in zip(space.classes, share, strict=True) if value < 0.007]
        assert not rare, share
        assert min(scenes) > 0.15

    def test_colour_follows_from_class_and_context_but_not_from_class_alone(self, world):
        rgb, labels = world[0].astype(float), world[1].astype(int)
        chroma = np.stack([rgb @ (-0.168736, -0.331264, 0.5), rgb @ (0.5, -0.418688, -0.081312)]).reshape(2, -1)
        assert 15 < np.sqrt((chroma**2).mean()) < 45
        scene = np.broadcast_to(np.arange(COUNT)[:, None, None], labels.shape)
        level = (rgb.mean(-1) // 16).astype(int)
        assert explained(chroma, level) < 0.15
        assert 0.25 < explained(chroma, labels) < 0.55
        assert explained(chroma, labels * COUNT + scene) > explained(chroma, labels) + 0.2

    def test_times_of_day_differ_in_gray_levels_too(self, world):
        brightness = world[0].mean((1, 2, 3))
        assert brightness.min() < 70
        assert np.median(brightness) > 110


def explained(values, groups):
    """Share of the variance of `values` (2, N) that the groups' means explain."""
    groups = groups.ravel()
    count = np.maximum(np.bincount(groups), 1)
    within = sum((v**2).sum() - (np.bincount(groups, v) ** 2 / count).sum() for v in values)
    return 1 - within / sum(((v - v.mean()) ** 2).sum() for v in values)


class TestSpaces:
    def test_fine_is_what_is_drawn(self):
        assert SPACES["fine"].classes == tuple(label.name.lower() for label in Fine)
        assert SPACES["fine"].from_fine == tuple(range(16))

    def test_coarse_merges(self):
        coarse = SPACES["coarse"]
        merged = {label.name: coarse.classes[coarse.from_fine[label]] for label in Fine}
        assert merged["TREE"] == merged["BUSH"] == "plant"
        assert merged["CAR"] == merged["BOAT"] == "vehicle"
        assert merged["SKY"] == merged["GRASS"] == merged["FENCE"] == "background"
        assert set(merged.values()) == set(coarse.classes)
        assert len(coarse.classes) == 7

    @pytest.mark.parametrize("name", list(SPACES))
    def test_palette_colours_differ(self, name):
        palette = np.array(SPACES[name].palette, float)
        distance = np.linalg.norm(palette[:, None] - palette[None], axis=-1) + 999 * np.eye(len(palette))
        assert distance.min() > 30

    def test_errors(self):
        with pytest.raises(
            ValueError, match=r"'x': expected one palette colour per class \(2\), but got 1. Add or remove"
        ):
            LabelSpace(name="x", classes=("a", "b"), palette=((0, 0, 0),), from_fine=(0,) * 16)
        with pytest.raises(ValueError, match=r"a class in 0\.\.0 for each of the 16 fine classes"):
            LabelSpace(name="x", classes=("a",), palette=((0, 0, 0),), from_fine=(0,) * 15 + (1,))


class TestPaintStyle:
    def test_is_deterministic_and_the_same_at_every_size(self, styles):
        small = paint_style("bands", 64)
        assert small.shape == (64, 64, 3)
        assert small.dtype == np.uint8
        painting._paint.cache_clear()  # else it is the same canvas
        assert digest(small) == digest(paint_style("bands", 64))
        reduced = styles["bands"].reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.corrcoef(reduced.ravel(), small.ravel() / 255)[0, 1] > 0.99

    def test_palettes_are_unlike(self, styles):
        swirls, bands = (styles[name].mean((0, 1)) for name in ("swirls", "bands"))
        assert swirls[2] > swirls[0] + 0.15
        assert bands[0] > bands[2] + 0.15
        assert np.linalg.norm(swirls - bands) > 0.3

    def test_strokes_turn_in_one_and_lie_flat_in_the_other(self, styles):
        flat = {}
        for name, picture in styles.items():
            down, right = np.gradient(picture.mean(-1))
            flat[name] = (down**2).sum() / (down**2 + right**2).sum()
        assert flat["bands"] > 0.7
        assert 0.35 < flat["swirls"] < 0.65

    def test_strokes_are_visible(self, styles):
        for picture in styles.values():
            gray = picture.mean(-1)
            blocks = gray.reshape(32, 8, 32, 8).mean((1, 3)).repeat(8, 0).repeat(8, 1)
            assert (gray - blocks).std() > 0.04

    def test_panes_of_glass_are_of_many_colours(self, styles):
        assert np.median(np.ptp(styles["glass"], axis=-1)) > 0.25

    def test_computed_pictures_are_the_same_at_every_size(self, styles):
        reduced = styles["glass"].reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.corrcoef(reduced.ravel(), paint_style("glass", 64).ravel() / 255)[0, 1] > 0.99
        assert paint_style("glass", (32, 48)).shape == (32, 48, 3)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`name` to be one of 'swirls', 'bands', 'glass', but got 'gogh'"):
            paint_style("gogh", 64)
        with pytest.raises(ValueError, match="sides from 16 to 4096 pixels, but got 0"):
            paint_style("swirls", 0)


class TestScenes:
    def test_examples(self):
        scenes = Scenes(3, (32, 48), seed=4, first=10)
        assert len(scenes) == 3
        assert scenes.names == ("scene-4-10", "scene-4-11", "scene-4-12")
        example, scene = scenes[1], draw_scene(4, 11, (32, 48))
        assert isinstance(example, Example)
        assert example.name == "scene-4-11"
        assert example.target is None
        assert example.image.dtype == example.label.dtype == torch.uint8
        assert np.array_equal(example.image.permute(1, 2, 0).numpy(), scene.image)
        assert np.array_equal(example.label.numpy(), scene.labels)

    def test_space_changes_only_the_labels(self):
        fine, coarse = Scenes(2, 64)[0], Scenes(2, 64, space="coarse")[0]
        table = torch.tensor(SPACES["coarse"].from_fine, dtype=torch.uint8)
        assert torch.equal(fine.image, coarse.image)
        assert torch.equal(table[fine.label.long()], coarse.label)
        assert not torch.equal(fine.label, coarse.label)

    def test_splits_continue_each_other(self):
        whole, rest = Scenes(4, 32), Scenes(2, 32, first=2)
        assert torch.equal(whole[3].image, rest[1].image)
        assert set(Scenes(2, 32).names).isdisjoint(rest.names)

    def test_small_scenes_are_drawn_once_for_all_sets(self, monkeypatch):
        drawn = []
        draw = dataset.draw_scene
        monkeypatch.setattr(dataset, "draw_scene", lambda *which: drawn.append(which) or draw(*which))
        dataset._drawn.cache_clear()
        first = Scenes(2, 32, seed=5)[1]
        kept = first.image.clone()
        first.image.zero_()  # what one user does to its example is no other's business
        assert torch.equal(Scenes(3, 32, seed=5, space="coarse")[1].image, kept)
        assert drawn == [(5, 1, (32, 32))]
        large = (129, 128)
        assert torch.equal(Scenes(1, large)[0].image, Scenes(1, large)[0].image)
        assert drawn[1:] == [(0, 0, large)] * 2

    def test_is_a_sequence(self):
        scenes = Scenes(3, 32)
        assert [example.name for example in scenes] == list(scenes.names)
        assert scenes[-1].name == scenes.names[2]
        assert [example.name for example in scenes[1:]] == list(scenes.names[1:])
        with pytest.raises(IndexError):
            scenes[3]

    def test_pickles(self):
        scenes = Scenes(3, 32, seed=1, first=5, space="coarse")
        copy = pickle.loads(pickle.dumps(scenes))
        assert torch.equal(copy[2].image, scenes[2].image)
        assert torch.equal(copy[2].label, scenes[2].label)

    def test_examples_are_the_callers_own(self):
        scenes = Scenes(1, 32)
        before = scenes[0].image.clone()
        scenes[0].image.zero_()
        assert torch.equal(scenes[0].image, before)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"count": 0, "size": 64}, ValueError, "Expected argument `count` to be 1 or more, but got 0"),
            ({"count": 2.0, "size": 64}, TypeError, r"`count` to be an int, but got 2.0 \(float\)"),
            ({"count": 1, "size": 64, "first": -1}, ValueError, "`first` to be 0 or more, but got -1"),
            ({"count": 1, "size": 64, "seed": -1}, ValueError, "`seed` to be 0 or more, but got -1"),
            ({"count": 1, "size": 2}, ValueError, "sides from 16 to 4096 pixels, but got 2"),
            ({"count": 1, "size": 64, "space": "voc"}, ValueError, "`space` to be one of fine, coarse, but got 'voc'"),
        ],
    )
    def test_errors(self, arguments, error, message):
        with pytest.raises(error, match=message):
            Scenes(**arguments)


class TestGeometry:
    @pytest.mark.parametrize("size", [(64, 64), (48, 80)])
    def test_it_is_where_the_labels_are(self, size):
        for index in range(12):
            labels, geometry = draw_scene(0, index, size).labels, measure_scene(0, index, size)
            assert geometry.depth.shape == size
            assert geometry.normals.shape == (*size, 3)
            sky = labels == Fine.SKY
            assert (geometry.depth[sky] == 0).mean() > 0.97
            assert (geometry.depth[~sky] > 0).mean() > 0.97
            assert ((geometry.normals == 128).all(-1) == (geometry.depth == 0)).all()
            ground = np.isin(labels, [Fine.GRASS, Fine.SAND, Fine.ROAD, Fine.WATER])
            up = (geometry.normals == [128, 255, 128]).all(-1)
            assert up[ground].mean() > 0.95
            assert up[~ground & (labels != Fine.BACKGROUND)].mean() < 0.15

    def test_the_ground_is_a_plane_in_metres(self):
        farthest = []
        for index in range(40):
            geometry = measure_scene(3, index, 64)
            up = (geometry.normals == [128, 255, 128]).all(-1)
            rows = geometry.depth.astype(float).max(1, where=up, initial=0)
            found = [(row, level) for row, level in enumerate(rows) if up[row].any()]
            first, last = found[2], found[-1]  # the ground's far end overlaps the horizon
            slope = (last[1] - first[1]) / (last[0] - first[0])
            assert all(abs(level - first[1] - slope * (row - first[0])) <= 1.01 for row, level in found[2:])
            assert 6 < 255 * 6 / last[1] < 6.6
            farthest.append(255 * 6 / found[0][1])
        assert 29 < max(farthest) < 30

    def test_round_things_turn_their_sides_away(self):
        scene, geometry = draw_scene(0, 2, 128), measure_scene(0, 2, 128)
        balloon = np.argwhere(scene.labels == Fine.BALLOON)
        left, right = balloon[balloon[:, 1].argmin()], balloon[balloon[:, 1].argmax()]
        assert geometry.normals[tuple(left)][0] < 60
        assert geometry.normals[tuple(right)][0] > 196
        top = balloon[balloon[:, 0].argmin()]
        assert geometry.normals[tuple(top)][1] > 160

    def test_normals_are_unit_vectors(self):
        normals = measure_scene(0, 3, 96).normals.astype(float) / 127.5 - 1
        length = np.linalg.norm(normals, axis=-1)
        assert np.allclose(length[length > 0.5], 1, atol=0.02)

    def test_is_a_pure_function(self):
        first = measure_scene(5, 1, 64)
        np.random.seed(1)  # noqa: NPY002 (to show that the global generator plays no part)
        again = measure_scene(5, 1, 64)
        assert digest(first.depth, first.normals) == digest(again.depth, again.normals)
        with pytest.raises(ValueError, match="`index` to be 0 or more"):
            measure_scene(0, -1, 64)


class TestTruths:
    def test_depth_and_normals_are_targets(self):
        geometry = measure_scene(0, 7, 32)
        depth, normals = (Scenes(1, 32, first=7, truth=truth)[0] for truth in ("depth", "normals"))
        assert all((channel.numpy() == geometry.depth).all() for channel in depth.target)
        assert (normals.target.permute(1, 2, 0).numpy() == geometry.normals).all()
        assert depth.label is normals.label is None
        assert torch.equal(depth.image, Scenes(1, 32, first=7)[0].image)

    @pytest.mark.parametrize("space", list(SPACES))
    def test_boundaries_are_both_sides_of_a_change(self, space):
        labels, marked = (
            Scenes(1, 48, first=3, space=space, truth=t)[0].label.numpy() for t in ("labels", "boundaries")
        )
        expected = np.zeros_like(labels)
        for row in range(48):
            for column in range(48):
                near = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
                inside = [labels[place] for place in near if min(place) >= 0 and max(place) < 48]
                expected[row, column] = any(label != labels[row, column] for label in inside)
        assert (marked == expected).all()
        assert 0 < marked.mean() < 0.6

    def test_unknown_truth(self):
        with pytest.raises(ValueError, match="`truth` to be one of labels, boundaries, depth, normals, but got 'flow'"):
            Scenes(1, 32, truth="flow")
