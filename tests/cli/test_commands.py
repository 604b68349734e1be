"""Verbs, exit codes, and what is said on which stream."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import stencilnet as sn
from stencilnet.scenes import Scenes

from ..command_line import Stencil

TASK = """
title: One more
methods:
  - method: {kind: piggyback, lr: 1.0e-2}
tasks:
  - name: colour
    title: Colour
    task: {kind: colorization}
    data:
      about: scenes
      train: {kind: scenes, count: 4, size: 32}
      test: {kind: scenes, count: 2, size: 32, first: 50}
    view: {crop: 32, test: crop}
    recipe: {steps: 3, batch: 2}
"""


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of one task, a config, and photos."""
    folder = tmp_path_factory.mktemp("learned")
    scenes = sn.Splits(
        train=Scenes(count=4, size=32, space="coarse"), validation=Scenes(count=2, size=32, first=9, space="coarse")
    )
    things = sn.Segmentation(classes=("background", "plant", "building", "vehicle", "person", "animal", "toy"))
    config = sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(steps=2, batch=2))
    net = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), things, scenes, name="things", config=config)
    sn.save(net, folder / "bundle")
    (folder / "my.yaml").write_text(TASK)
    (folder / "photos").mkdir()
    Image.effect_noise((40, 33), 50).convert("RGB").save(folder / "photos" / "a.jpg")
    (folder / "photos" / "broken.jpg").write_bytes(b"\xff\xd8 not a photo")
    return folder


@pytest.fixture
def desk(learned: Path, tmp_path: Path) -> Path:
    """The same folder, to be written to."""
    return shutil.copytree(learned, tmp_path / "desk")


def test_help_is_quick_and_loads_no_torch(tmp_path: Path) -> None:
    probe = "import sys; from stencilnet.cli.main import stencil; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout.strip() == "False"


def test_add_run_evaluate_and_remove(stencil: Stencil, desk: Path) -> None:
    things = (desk / "bundle" / "tasks" / "things" / "task.json").read_bytes()
    added = stencil("add", "bundle", "my.yaml", cwd=desk)
    assert (added.returncode, added.stdout) == (0, "added   colour\n"), added.stderr
    assert "piggyback/colour" in added.stderr
    assert (desk / "bundle" / "tasks" / "things" / "task.json").read_bytes() == things

    measured = stencil("evaluate", "bundle", "my.yaml", "--json", cwd=desk)
    values = json.loads(measured.stdout)["colour"]
    assert values["trivial"] == "gray"
    assert values["values"].keys() == values["trivial_values"].keys() == {"MSE", "SSIM", "MSE_CbCr"}

    near = json.loads(stencil("evaluate", "bundle", "my.yaml", "--precision", "bf16", "--json", cwd=desk).stdout)
    exact, rounded = (found["colour"]["values"]["MSE"] for found in ({"colour": values}, near))
    assert 0 < abs(rounded - exact) < 0.02 * exact

    ran = stencil("run", "bundle", "colour", "photos/a.jpg", "-o", "out.png", cwd=desk)
    assert (ran.returncode, ran.stdout) == (0, "out.png\n")
    with Image.open(desk / "out.png") as picture:
        assert picture.size == (40, 33)

    known = json.loads(stencil("info", "bundle", "--json", cwd=desk).stdout)
    assert list(known["tasks"]) == ["things", "colour"]
    assert stencil("remove", "bundle", "colour", cwd=desk).returncode == 0
    assert sn.load(desk / "bundle").tasks == ("things",)
    assert stencil("verify", "bundle", cwd=desk).returncode == 0


def test_a_full_disk_is_one_line_and_the_training_goes_on(
    stencil: Stencil, desk: Path, full_disk: Callable[[int], None]
) -> None:
    full_disk(20_000)
    stopped = stencil("add", "bundle", "my.yaml", cwd=desk)
    full_disk(10**9)
    *_, last = stopped.stderr.splitlines()
    assert stopped.returncode == 1
    assert re.fullmatch(
        r"Cannot write .*checkpoint\.pt: File too large\. Free disk space; finished work is saved\. "
        r"Continue with: stencil add bundle my\.yaml --resume",
        last,
    )
    assert "Traceback" not in stopped.stderr
    assert list(desk.rglob(".new-*")) == []
    assert stencil("add", "bundle", "my.yaml", "--resume", cwd=desk).returncode == 0


def test_one_bad_photo_does_not_stop_the_others(stencil: Stencil, desk: Path) -> None:
    ran = stencil("run", "bundle", "things", "photos", "-o", "out", cwd=desk)
    assert ran.returncode == 1
    assert ran.stdout == "out/a.png\n"
    assert ran.stderr.startswith("stencil: Cannot read photos/broken.jpg: ")
    assert ran.stderr.count("broken.jpg") == 1


def test_photos_that_are_left_out_are_counted_on_stderr(stencil: Stencil, desk: Path) -> None:
    (desk / "photos" / "broken.jpg").rename(desk / "photos" / "b.jxl")
    ran = stencil("run", "bundle", "things", "photos", "-o", "out", cwd=desk)
    assert (ran.returncode, ran.stdout) == (0, "out/a.png\n")
    assert ran.stderr == "photos: 1 file was left out, of formats that are not read: .jxl (1)\n"


def test_run_at_another_scale_with_metadata(stencil: Stencil, desk: Path) -> None:
    exif = Image.Exif()
    exif[0x013B] = "A. Nonymous"
    Image.open(desk / "photos" / "a.jpg", formats=["JPEG"]).save(desk / "b.png", exif=exif)
    pixels = []
    for scale in ("trained", "native", "0.5"):
        ran = stencil("run", "bundle", "things", "b.png", "-o", "o.avif", "--scale", scale, "--keep-metadata", cwd=desk)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "o.avif\n", "")
        with Image.open(desk / "o.avif", formats=["AVIF"]) as picture:
            assert picture.getexif()[0x013B] == "A. Nonymous"
            pixels.append(picture.tobytes())
    assert pixels[0] == pixels[1]  # learned without `view.resize`
    assert pixels[0] != pixels[2]


def test_outputs_are_no_inputs_of_a_second_run(stencil: Stencil, desk: Path) -> None:
    (desk / "photos" / "broken.jpg").unlink()
    first = stencil("run", "bundle", "things", "photos", "-o", "photos/out", cwd=desk)
    again = stencil("run", "bundle", "things", "photos", "-o", "photos/out", cwd=desk)
    assert (first.returncode, first.stdout, first.stderr) == (0, "photos/out/a.png\n", "")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert again.stderr == "photos: 1 file was left out, in the output folder photos/out\n"
    assert sorted(path.name for path in (desk / "photos" / "out").rglob("*")) == [".stencil-run.json", "a.png"]


def test_damage_is_found(stencil: Stencil, desk: Path) -> None:
    backbone = desk / "bundle" / "model.safetensors"
    data = bytearray(backbone.read_bytes())
    data[-1] ^= 1
    backbone.write_bytes(data)
    done = stencil("verify", "bundle", cwd=desk)
    assert done.returncode == 1
    assert "model.safetensors" in done.stdout
    opened = stencil("run", "bundle", "things", "photos/a.jpg", "-o", "out.png", cwd=desk)
    assert opened.returncode == 1
    assert opened.stderr.startswith("stencil: ")
    assert not (desk / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("run", "bundle", "nobody", "photos/a.jpg", "-o", "o.png"), 1, "things"),
        (("run", "bundle", "things", "nothing.jpg", "-o", "o.png"), 1, "it does not exist"),
        (
            ("run", "bundle", "things", "photos/a.jpg", "-o", "o.png", "--scale", "half"),
            2,
            "trained, native or a factor",
        ),
        (("run", "bundle", "things", "photos/a.jpg", "-o", "o.png", "--scale", "0"), 2, "above 0, but got '0'"),
        (("add", "bundle", "my.yaml", "--set", "tasks.colour.recipe.steps=0"), 2, "tasks.0.recipe.steps: Expected"),
        (("add", "bundle", "my.yaml", "--set", "methods.0.method={kind: finetune}"), 2, "moves the shared weights"),
        (("train", "nowhere.yaml"), 2, "expected a file or a shipped config"),
        (("compare", "photos", "--root", "photos"), 2, "tasks.0.data.train"),
        (("demo", "--size", "huge"), 2, "'huge' is not one of"),
        (("analyze", "bundle", "-o", "out", "--ceiling", "things"), 2, "expected two tasks, TASK,TASK"),
        (("blend", "photos", "a", "b", "-o", "out"), 2, "Expected a run folder, but photos has no config.json"),
        (
            ("pack", "bundle", "things", "-o", "none/t.zip"),
            1,
            "Cannot access none/t.zip: No such file or directory. Check the path, its permissions and",
        ),
        (("blend", "bundle", "a", "b", "-o", "out"), 2, "Expected a run folder, but bundle is a bundle."),
        (("train", "bundle"), 2, "cannot be read: Is a directory"),
        (("frobnicate",), 2, "No such command"),
    ],
)
def test_refusals_are_one_message(
    words: tuple[str, ...], code: int, message: str, stencil: Stencil, desk: Path
) -> None:
    done = stencil(*words, cwd=desk)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("words", [("train",), ("compare",), ("train", "--dry-run"), ("add",)], ids=" ".join)
def test_data_that_teach_nothing_are_a_mistake_in_the_config(
    words: tuple[str, ...], stencil: Stencil, desk: Path
) -> None:
    for part in ("images", "labels"):
        (desk / part).mkdir()
        for index in range(3):
            Image.new("RGB" if part == "images" else "L", (40, 40), "black").save(desk / part / f"{index}.png")
    source = "{kind: labelled, images: images, labels: labels}"
    scenes = ("{kind: scenes, count: 4, size: 32}", "{kind: scenes, count: 2, size: 32, first: 50}")
    config = TASK.replace("{kind: colorization}", "{kind: segmentation, classes: [background, polyp]}")
    (desk / "polyps.yaml").write_text(config.replace(scenes[0], source).replace(scenes[1], source))
    verb, *options = words
    done = stencil(verb, *(["bundle"] if verb == "add" else []), "polyps.yaml", *options, cwd=desk)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "colour: expected labelled pixels of at least 2 classes in the training part, but it holds no" in done.stderr
    assert "step" not in done.stderr
