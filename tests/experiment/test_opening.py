"""Opening a task's data: photos without colour are left out, and looked for once."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stencilnet.config.schema import Data, TaskPlan
from stencilnet.data.sources import ImagesSource
from stencilnet.learning import opening
from stencilnet.learning.opening import open_data
from stencilnet.tasks.colorization import Colorization, is_gray


def write(path: Path, *, gray: bool, seed: int) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels[..., :1].repeat(3, axis=2) if gray else levels).save(path)


@pytest.fixture
def plan(tmp_path: Path) -> TaskPlan:
    for part, grays in (("train", {1, 4}), ("test", set())):
        for index in range(8):
            write(tmp_path / part / f"{index}.png", gray=index in grays, seed=index)
    data = Data(about="", train=ImagesSource(folder="train"), test=ImagesSource(folder="test"), drop_gray=True)
    return TaskPlan(name="colour", title="", task=Colorization(), data=data)


def test_gray_photos_are_left_out(plan: TaskPlan, tmp_path: Path) -> None:
    data = open_data(plan, tmp_path)
    assert [*data.train.names, *data.validation.names] == [f"{i}.png" for i in (0, 2, 3, 5, 6, 7)]
    assert len(data.test) == 8


def test_without_test_data_validation_data_are_measured(plan: TaskPlan, tmp_path: Path) -> None:
    data = open_data(replace(plan, data=replace(plan.data, test=None)), tmp_path)
    assert data.test.names == data.validation.names == ("7.png",)


def test_names_that_are_not_utf8_are_known_by_their_bytes(plan: TaskPlan, tmp_path: Path) -> None:
    write(tmp_path / "train" / os.fsdecode(b"caf\xe9.png"), gray=False, seed=9)
    data = open_data(plan, tmp_path, memo=tmp_path / "gray.json")
    assert len(data.train) + len(data.validation) == 7


def test_a_dry_look_decodes_nothing(plan: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "is_gray", lambda _: pytest.fail("looked"))
    assert len(open_data(plan, tmp_path, look=False).train) == 7


def test_photos_are_looked_at_once_until_they_change(
    plan: TaskPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memo, seen = tmp_path / "kept" / "gray.json", []
    monkeypatch.setattr(opening, "is_gray", lambda example: (seen.append(example.name), is_gray(example))[1])
    first = open_data(plan, tmp_path, memo=memo)
    assert len(seen) == 16
    assert open_data(plan, tmp_path, memo=memo).train.names == first.train.names
    assert len(seen) == 16
    write(tmp_path / "train" / "0.png", gray=True, seed=0)
    assert "0.png" not in open_data(plan, tmp_path, memo=memo).train.names
    memo.write_text("{ half")
    assert "0.png" not in open_data(plan, tmp_path, memo=memo).train.names


def test_nothing_but_gray_is_refused(plan: TaskPlan, tmp_path: Path) -> None:
    for index in range(8):
        write(tmp_path / "test" / f"{index}.png", gray=True, seed=index)
    with pytest.raises(ValueError, match=r"colour test: expected colour photos, but all 8 are gray"):
        open_data(plan, tmp_path)
