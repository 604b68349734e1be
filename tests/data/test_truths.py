"""Labels and categories read alone are those that come with the photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stencilnet.data.classes import class_folders
from stencilnet.data.folders import Examples, LabelForm, images, labelled, pairs
from stencilnet.data.official import CocoSource, VocSource
from stencilnet.datasets.fetching.listing import make_named


def save(path: Path, *shape: int, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


def alike(examples: Examples) -> None:
    assert examples.truth is not None
    for index, name in enumerate(examples.names):
        whole, alone = examples[index], examples.truth(index)
        assert alone.name == whole.name == name
        assert alone.image.shape == (3, 0, 0)
        assert alone.category == whole.category
        assert (alone.label is None) == (whole.label is None)
        assert alone.label is None or (whole.label is not None and torch.equal(alone.label, whole.label))


@pytest.mark.parametrize("form", [LabelForm(void=(3, 4)), LabelForm(threshold=128, widen=1)], ids=str)
def test_of_folders(form: LabelForm, tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / "images" / f"{index}.png", 9, 11, 3, seed=index)
        save(tmp_path / "labels" / f"{index}.png", 9, 11, seed=index)
    found = labelled(tmp_path / "images", tmp_path / "labels", form)
    alike(found)
    alike(found.take([2, 0]))


def test_of_class_folders(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"class-{index % 3}" / f"{index}.png", 9, 11, 3, seed=index)
    alike(class_folders(tmp_path))


@pytest.mark.parametrize(
    ("name", "source"), [("coco2017", CocoSource(split="val")), ("voc2012", VocSource(split="val"))]
)
def test_of_official_sets(name: str, source: CocoSource | VocSource, tmp_path: Path) -> None:
    make_named(name, tmp_path)
    alike(source.open(tmp_path))


def test_photos_alone_and_pairs_have_none(tmp_path: Path) -> None:
    save(tmp_path / "images" / "0.png", 9, 11, 3)
    assert images(tmp_path / "images").truth is None
    assert pairs(tmp_path / "images", tmp_path / "images").truth is None
    make_named("coco2017", tmp_path)
    assert CocoSource(split="val", labels=False).open(tmp_path).truth is None
