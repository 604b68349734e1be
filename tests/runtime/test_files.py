"""Which files are meant, and where each output goes."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from PIL import Image, features

from stencilnet.bundle import BundleError, TaskRecord
from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, UNet, save
from stencilnet.pictures.formats import SUFFIXES
from stencilnet.runtime import Engine
from stencilnet.runtime.files import run_files
from stencilnet.runtime.planning import plan_outputs

PALETTE = [[200, 30, 30], [30, 30, 200]]


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
    picture(tmp_path / "in" / "._a.jpg")
    picture(tmp_path / "in" / ".thumbnails" / "a.jpg")
    out = tmp_path / "out"
    assert plan_outputs([str(tmp_path / "in")], out) == {first: out / "a.png", second: out / "deep" / "b.png"}


def test_pictures_of_other_formats_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = tmp_path / "in"
    taken = [picture(photos / name) for name in ("a.jfif", "b.avif", "c.jp2")]
    for name in ("d.jxl", "e.psd", "f.JXL", "notes.txt", ".g.jxl"):
        (photos / name).write_text("x")
    assert list(plan_outputs([str(photos)], tmp_path / "out")) == taken
    assert [record.getMessage() for record in caplog.records] == [
        f"{photos}: 3 files were left out, of formats that are not read: .jxl (2), .psd (1)"
    ]
    for file in taken:
        file.unlink()
    with pytest.raises(
        ValueError, match=r"but found none \(3 files were left out, .* \.jxl \(2\), \.psd \(1\)\)\. Corr"
    ):
        plan_outputs([str(photos)], tmp_path / "out")


@pytest.mark.parametrize("name", ["in", "in/**/*", "in/**/*.png"])
def test_outputs_below_the_inputs_are_no_inputs(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("a.png", "deep/b.png"):
        picture(Path("in", file))
    first = plan_outputs([name], Path("in/out"))
    assert len(first) == 2
    assert caplog.records == []
    for target in first.values():
        picture(target)
    (Path("in/out/late.exr")).write_text("x")
    assert plan_outputs([name], Path("in/out")) == first
    extra = 1 if name == "in/**/*" else 0  # a pattern takes files of any name
    assert f"{2 + extra} files were left out, in the output folder in/out" in caplog.text


def test_outputs_are_found_by_way_of_links(tmp_path: Path) -> None:
    source, written = picture(tmp_path / "in" / "a.png"), picture(tmp_path / "in" / "out" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in" / "out", target_is_directory=True)
    (tmp_path / "way").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "b.png").symlink_to(written)
    for output in (tmp_path / "in" / "out", tmp_path / "link", tmp_path / "in" / "x" / ".." / "out"):
        assert list(plan_outputs([str(tmp_path / "in")], output)) == [source]
        assert list(plan_outputs([str(tmp_path / "way")], output)) == [tmp_path / "way" / "a.png"]


def test_a_folder_of_outputs_alone_has_no_inputs(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / "in" / "out" / name)
    with pytest.raises(ValueError, match=r"found none \(2 files were left out, in the output folder .*out\)\. Correct"):
        plan_outputs([str(tmp_path / "in")], tmp_path / "in" / "out")


@pytest.mark.parametrize("output", ["in", "in/../in", "link", "IN"])
def test_outputs_among_the_inputs_are_refused(tmp_path: Path, output: str) -> None:
    picture(tmp_path / "in" / "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "in", target_is_directory=True)
    if output == "IN" and not (tmp_path / "IN").exists():
        pytest.skip("letters of another case are another folder here")
    with pytest.raises(
        ValueError, match=r"would lie among the inputs in .*in, and be inputs of the next run\. .* -o, such as .*in.out"
    ):
        plan_outputs([str(tmp_path / "in")], tmp_path / output)


def test_outputs_of_a_folder_above_are_refused_where_they_fall_among_the_inputs(tmp_path: Path) -> None:
    first, second = picture(tmp_path / "in" / "a.jpg"), tmp_path / "in" / "in" / "b.jpg"
    assert plan_outputs([str(tmp_path / "in")], tmp_path) == {first: tmp_path / "a.png"}
    picture(second)
    with pytest.raises(ValueError, match="The outputs would lie among the inputs"):
        plan_outputs([str(tmp_path / "in")], tmp_path)


def test_files_that_are_named_may_lie_in_the_output_folder(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.jpg")
    assert plan_outputs([str(source)], tmp_path) == {source: tmp_path / "a.png"}
    picture(tmp_path / "a.png")
    assert plan_outputs([str(tmp_path / "*.jpg")], tmp_path) == {source: tmp_path / "a.png"}
    with pytest.raises(ValueError, match="would be overwritten by the output of"):
        plan_outputs([str(tmp_path / "*")], tmp_path)


def test_an_output_of_a_format_that_is_not_written_is_no_folder(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"Cannot write .*out\.heic: \.heic is unsupported\. Choose another -o"):
        plan_outputs([str(source)], tmp_path / "out.heic")


def test_an_output_format_that_pillow_lacks_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = picture(tmp_path / "a.png")
    monkeypatch.setattr(features, "check", lambda feature: feature != "avif")
    with pytest.raises(ValueError, match=r"Cannot write .*out\.avif: this build of Pillow lacks AVIF\. Choose another"):
        plan_outputs([str(source)], tmp_path / "out.avif")


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
        (["a.png"], ".", r"The input .*a\.png would be overwritten by the output of .*a\.png\. Choose another -o"),
        (["sub/c.jpg", "c.png"], ".", r"The input .*c\.png would be overwritten by the output of .*sub.c\.jpg"),
        (["*.gif"], "out", r"a pattern of files, but nothing matches it\. Correct it"),
        (["sub*"], "out", r"a pattern of files, but it matches folders only\. Correct it"),
    ],
)
def test_refusals(inputs: list[str], out: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("a.jpg", "b.jpg", "a.png", "c.png", "sub/c.jpg"):
        picture(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        plan_outputs([str(tmp_path / name) for name in inputs], tmp_path / out)


def test_a_folder_that_cannot_be_read_is_not_called_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ValueError, match=r"Cannot read the folder .*: Permission denied\. Check its permissions"):
        plan_outputs([str(tmp_path)], tmp_path / "out")


def test_an_input_under_another_name_is_not_overwritten(tmp_path: Path) -> None:
    source, other = picture(tmp_path / "in" / "a.jpg"), picture(tmp_path / "b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(other)
    with pytest.raises(ValueError, match=r"The input .*b\.png would be overwritten by the output of .*a\.jpg"):
        plan_outputs([str(source), str(other)], tmp_path / "out")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """One segmentation task that finds class 1 everywhere."""
    net = MultiTaskNet(UNet(width=3, channels=1))
    head = net.fresh_head(2, torch.Generator().manual_seed(0))
    flat = {
        name: Replace(array_of(torch.tensor([0.0, 1.0]) if t.ndim == 1 else torch.zeros_like(t)))
        for name, t in head.items()
    }
    settings = {"classes": ["a", "b"], "palette": PALETTE}
    record = TaskRecord(kind="segmentation", channels=2, method="piggyback", settings=settings)
    save(net.with_state(net.state.add("shapes", TaskDelta(flat)), {"shapes": record}), tmp_path / "bundle")
    return Engine(tmp_path / "bundle")


@pytest.mark.parametrize("suffix", [*sorted(SUFFIXES), ".JPG"])
def test_every_format_takes_a_segmentation(engine: Engine, suffix: str, tmp_path: Path) -> None:
    source, target = picture(tmp_path / "a.png"), tmp_path / "new" / f"out{suffix}"
    assert list(run_files(engine, "shapes", {source: target}, drawing=False)) == [(source, None)]
    with Image.open(target) as image:
        assert (image.mode == "P") == (suffix in {".png", ".apng", ".bmp", ".tif", ".tiff", ".gif"})
        assert image.mode != "P" or set(image.tobytes()) == {1}
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - PALETTE[1]).max() <= 8
    assert list(target.parent.iterdir()) == [target]


def test_an_output_that_cannot_be_written_does_not_stop_the_others(engine: Engine, tmp_path: Path) -> None:
    first, second, third = (picture(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    (tmp_path / "file").write_text("x")
    (tmp_path / "taken.png").mkdir()
    planned = {first: tmp_path / "file" / "a.png", second: tmp_path / "taken.png", third: tmp_path / "good.png"}
    found = dict(run_files(engine, "shapes", planned, drawing=False))
    assert found[first] is not None
    assert found[second] is not None
    assert found[first].startswith(f"Cannot write {planned[first]}: ")
    assert found[second].startswith(f"Cannot write {planned[second]}: ")
    assert "choose another -o" in found[second]
    assert found[third] is None
    assert planned[third].is_file()


def test_an_interrupted_save_leaves_the_old_picture(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = picture(tmp_path / "in" / "a.png"), picture(tmp_path / "out" / "a.png")
    before = target.read_bytes()

    def interrupted(image: Image.Image, file: BinaryIO, **_options: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run_files(engine, "shapes", {source: target}, drawing=False))
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_a_wrong_task_is_said_once(engine: Engine, tmp_path: Path) -> None:
    planned = {picture(tmp_path / name): tmp_path / "out" / name for name in ("a.png", "b.png")}
    with pytest.raises(ValueError, match="Expected `task` to be one of shapes, but got 'gogh'"):
        next(run_files(engine, "gogh", planned, drawing=False))


def test_damaged_files_of_a_task_are_said_once(engine: Engine, tmp_path: Path) -> None:
    (delta,) = (tmp_path / "bundle" / "tasks" / "shapes").glob("*.safetensors")
    delta.write_bytes(delta.read_bytes()[:-1] + b"?")
    planned = {picture(tmp_path / name): tmp_path / "out" / name for name in ("a.png", "b.png")}
    with pytest.raises(BundleError, match="changed since it was written"):
        list(run_files(engine, "shapes", planned, drawing=False))
