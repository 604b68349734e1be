"""The bundle that ships with the package: whole, small, and run where PyTorch is not installed."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import stencilnet as sn
from stencilnet.bundle import read_records, verify
from stencilnet.cli.main import stencil
from stencilnet.kinds.catalog import kind_from_record
from stencilnet.kinds.kind import PictureKind

ROOT = Path(__file__).parents[2]
PAPER, INK = (247, 240, 222), (52, 60, 86)


@pytest.fixture
def drawing() -> Image.Image:
    """A disc, stripes and a slope, 90 x 70 pixels."""
    rows, columns = np.mgrid[:70, :90]
    disc = np.hypot(rows - 30, columns - 35) < 18
    stripes = (columns // 6 % 2 == 0) & (rows > 50)
    pixels = np.where((disc | stripes)[..., None], INK, PAPER) - (columns / 2)[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def files() -> list[Path]:
    return [path for path in sn.sample().rglob("*") if path.is_file()]


def invoke(*words: str) -> Result:
    return CliRunner().invoke(stencil, list(words), prog_name="stencil")


def test_the_sample_is_whole_small_and_has_tasks_for_pictures() -> None:
    assert verify(sn.sample()).ok
    records = read_records(sn.sample())
    assert len(records) >= 6
    assert all(isinstance(kind_from_record(record.kind, record.settings), PictureKind) for record in records.values())
    assert sum(path.stat().st_size for path in files()) <= 6_000_000


def test_its_card_describes_every_task() -> None:
    card = (sn.sample() / "README.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in card for name in read_records(sn.sample()))


def test_every_task_changes_a_picture(drawing: Image.Image) -> None:
    engine = sn.Engine(sn.sample())
    assert engine.backend == "onnx"
    answers = {task: np.asarray(engine.run(drawing, task=task).convert("RGB"), int) for task in engine.tasks}
    assert {answer.shape for answer in answers.values()} == {(70, 90, 3)}
    assert all(np.abs(answer - np.asarray(drawing)).mean() > 0.5 for answer in answers.values())


def test_the_wheel_contains_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    package = ROOT / "src" / "stencilnet"
    listed = {
        path for glob in project["tool"]["setuptools"]["package-data"]["stencilnet"] for path in package.glob(glob)
    }
    assert set(files()) <= listed


def test_verbs_know_it_by_name(tmp_path: Path, drawing: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawing.save("photo.png")
    task = next(iter(read_records(sn.sample())))
    assert invoke("info", "sample").exit_code == 0
    done = invoke("run", "sample", task, "photo.png", "-o", "out.png")
    assert done.exit_code == 0, done.output
    with Image.open("out.png") as picture:
        assert picture.size == drawing.size


def test_a_folder_named_sample_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sample").mkdir()
    done = invoke("info", "sample")
    assert done.exit_code != 0
    assert "config.json" in str(done.exception)


@pytest.mark.parametrize("named", ["sample", "path"])
@pytest.mark.parametrize("words", [("remove", "{}", "denoise"), ("merge", "{}", "other")])
def test_verbs_that_change_a_bundle_refuse_it(
    words: tuple[str, ...], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(*(word.format("sample" if named == "sample" else sn.sample()) for word in words))
    assert done.exit_code == 2
    assert "is not changed. Change a copy: cp -r" in " ".join(done.output.split())
