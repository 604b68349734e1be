"""Class folders, against torchvision's ImageFolder; and what is wrong with a folder, in words."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stencilnet.data.classes import ClassFoldersSource, check_classes, class_folders
from stencilnet.data.folders import FolderError
from stencilnet.data.sources import HoldOut, split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of four pictures of different sizes, one of them in a folder below its class."""
    random = np.random.default_rng(0)
    for name in ("oak", "Elm", "ash"):
        (tmp_path / "trees" / name / "more").mkdir(parents=True)
        for number in range(4):
            place = tmp_path / "trees" / name / ("more" if number == 3 else "")
            pixels = random.integers(0, 256, (8 + number, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.png")
    (tmp_path / "trees" / ".cache").mkdir()
    (tmp_path / "trees" / "readme.txt").write_text("trees")
    return tmp_path / "trees"


def test_pictures_and_numbers_are_those_of_torchvision(folder: Path) -> None:
    from torchvision.datasets import ImageFolder

    (folder / ".cache").rmdir()
    theirs, ours = ImageFolder(str(folder)), class_folders(folder)
    assert ClassFoldersSource(folder="trees").classes(folder.parent) == tuple(theirs.classes)
    expected = {Path(path).relative_to(folder).as_posix(): number for path, number in theirs.samples}
    assert {name: ours[i].category for i, name in enumerate(ours.names)} == expected
    position = ours.names.index("oak/more/3.png")
    example = ours[position]
    assert example.image.shape == (3, 11, 9)
    assert np.array_equal(example.image.permute(1, 2, 0), np.asarray(Image.open(folder / "oak/more/3.png")))


def test_names_are_compared_in_one_unicode_form(folder: Path) -> None:
    (folder / "oak").rename(folder / unicodedata.normalize("NFD", "Äsche"))
    classes = ClassFoldersSource(folder="trees").classes(folder.parent)
    assert classes == ("Elm", "ash", "Äsche")
    check_classes(classes, ("Elm", "ash", unicodedata.normalize("NFD", "Äsche")), folder)
    assert {example.name: example.category for example in class_folders(folder)}["Äsche/0.png"] == 2


def test_a_part_of_every_class_is_held_out(folder: Path) -> None:
    kept, held = split(class_folders(folder), HoldOut(share=0.25, group="^[^/]+"))
    assert sorted({held[i].category for i in range(len(held))}) == [0, 1, 2]
    assert len(held) == 3
    assert len(kept) == 9


def test_folders_that_do_not_fit_are_told(folder: Path) -> None:
    with pytest.raises(FolderError, match=r"class folders at .*none, but there is no such folder. Correct the path"):
        class_folders(folder / "none")
    with pytest.raises(FolderError, match=r"readme.txt, but it is a file"):
        class_folders(folder / "readme.txt")
    with pytest.raises(FolderError, match=r"for each class, but it holds no folder. Sort the images into folders"):
        class_folders(folder / "oak" / "more")
    (folder / "yew").mkdir()
    with pytest.raises(FolderError, match=r"to hold images, but 1 of 4 hold none \(yew\). Add images, or remove"):
        class_folders(folder)
    (folder / "oak" / "0.png").rename(folder / "stray.png")
    with pytest.raises(FolderError, match=r"but 1 lie outside \(stray.png\). Move them"):
        class_folders(folder)


def test_classes_that_differ_from_the_folders_are_named_at_once() -> None:
    check_classes(("a", "b"), ("a", "b"), Path("x"))
    with pytest.raises(FolderError, match=r"to be the task's 2 classes, but 1 missing \(c\) and 2 unknown \(a, d\)"):
        check_classes(("a", "b", "d"), ("b", "c"), Path("x"))
    with pytest.raises(FolderError, match=r"they are in another order: classes are sorted by name"):
        check_classes(("a", "b"), ("b", "a"), Path("x"))


def test_an_unnamed_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="`folder` to name a folder"):
        ClassFoldersSource(folder="")
