"""Which files are meant, and where each output goes."""

from pathlib import Path

import pytest
from PIL import Image

from stencilnet.runtime.files import plan_outputs


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path


def test_one_file_to_one_file(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.jpg")
    assert plan_outputs([str(source)], tmp_path / "out.webp") == {source: tmp_path / "out.webp"}


def test_a_file_into_a_folder_becomes_a_png(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.jpg")
    assert plan_outputs([str(source)], tmp_path / "out") == {source: tmp_path / "out" / "a.png"}


def test_folders_keep_their_structure_and_leave_out_other_files(tmp_path: Path) -> None:
    first, second = picture(tmp_path / "in" / "a.jpg"), picture(tmp_path / "in" / "deep" / "b.PNG")
    (tmp_path / "in" / "notes.txt").write_text("x")
    out = tmp_path / "out"
    assert plan_outputs([str(tmp_path / "in")], out) == {first: out / "a.png", second: out / "deep" / "b.png"}


def test_patterns(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    second = picture(tmp_path / "b.jpg")
    assert list(plan_outputs([str(tmp_path / "b*.jpg")], tmp_path / "out")) == [second]


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        (["nothing.jpg"], "out", "Expected the input .*nothing.jpg to be a file, a folder or a pattern"),
        (["empty"], "out", "Expected images in the folder .*empty, but found none"),
        (["a.jpg", "b.jpg"], "out.png", "Expected one input for the output file .*out.png, but got 2"),
        (["a.jpg", "a.png"], "out", r"a\.jpg and .*a\.png would both be written to .*a\.png"),
        (["a.png"], ".", "would be overwritten by its own output"),
    ],
)
def test_refusals(inputs: list[str], out: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("a.jpg", "b.jpg", "a.png"):
        picture(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        plan_outputs([str(tmp_path / name) for name in inputs], tmp_path / out)
