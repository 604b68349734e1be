"""What the headers of pictures tell before the first step."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stencilnet as sn
from stencilnet.config.schema import Data, TaskPlan
from stencilnet.data.folders import images
from stencilnet.data.sources import ImagesSource, PairsSource, SideBySideSource, Source
from stencilnet.learning.counting import DataError, check_data
from stencilnet.learning.opening import open_data
from stencilnet.tasks.task import Task


def save(path: Path, width: int = 40, height: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        for number in range(8):
            save(tmp_path / part / "in" / f"{number}.png")
            save(tmp_path / part / "out" / f"{number}.png")
    return tmp_path


def check(root: Path, make: type[Source] = ImagesSource, task: Task | None = None, **view: object) -> None:
    sources = [
        PairsSource(inputs=f"{part}/in", targets=f"{part}/out") if make is PairsSource else make(folder=f"{part}/in")  # type: ignore[call-arg]
        for part in ("train", "test")
    ]
    data = Data(about="", train=sources[0], test=sources[1])
    chosen = sn.View(**{"crop": 16, **view})  # type: ignore[arg-type]
    plan = TaskPlan(name="clean", title="", task=task or sn.Colorization(), data=data, view=chosen)
    check_data(plan, open_data(plan, root))


@pytest.mark.parametrize("part", ["train", "test"])
def test_every_part_is_looked_at(root: Path, part: str) -> None:
    check(root)
    (root / part / "in" / "1.png").write_bytes(b"")
    where = {"train": "training", "test": "test"}[part]
    with pytest.raises(DataError, match=rf"^clean, {where} part: Cannot read .*1\.png: the file is empty \(0 bytes\)"):
        check(root)


def test_a_tiny_test_picture_is_refused_where_it_is_measured_whole(root: Path) -> None:
    save(root / "test" / "in" / "1.png", 10, 64)
    with pytest.raises(DataError, match=r"test part: Expected .*1\.png to have sides of at least 11 .* got 10x64\."):
        check(root)
    check(root, test="crop")
    check(root, resize=20)


def test_many_bad_files_are_counted(root: Path) -> None:
    for number in range(5):
        (root / "test" / "in" / f"{number}.png").write_text("no picture")
    with pytest.raises(DataError) as caught:
        check(root)
    assert len(caught.value.problems) == 4
    assert caught.value.problems[-1] == "clean, test part: So are 2 more of its 8 examples."


def test_pairs_and_halves_fit(root: Path) -> None:
    check(root, PairsSource, sn.Restoration())
    save(root / "test" / "out" / "3.png", 41, 30)
    with pytest.raises(DataError, match=r"3\.png and .*3\.png to have one size, but got 40x30 and 41x30 pixels"):
        check(root, PairsSource, sn.Restoration())
    save(root / "train" / "in" / "2.png", 41, 31)
    with pytest.raises(DataError, match=r"2\.png to contain two .* its width of 41 pixels is odd"):
        check(root, SideBySideSource, sn.Restoration())


def test_turned_pictures_are_no_mismatch(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 40)).save(root / "test" / "in" / "3.png", exif=exif)
    check(root, PairsSource, sn.Restoration())


def test_learning_by_hand_checks_too(root: Path) -> None:
    (root / "train" / "in" / "7.png").write_bytes(b"")
    data = sn.Splits(train=images(root / "train" / "in"), validation=images(root / "test" / "in"))
    with pytest.raises(DataError, match=r"colorization, training part: Cannot read .*7\.png: the file is empty"):
        sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), sn.Colorization(), data)
