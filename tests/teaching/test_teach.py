"""Teaching at a tiny size, by the command: each form once, stopped and continued, and again by the config it saved."""

import contextlib
import errno
import itertools
import json
import re
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stencilnet as sn
from stencilnet.bundle import read_records, task_names
from stencilnet.experiment.session import Session
from stencilnet.scenes import Scenes, draw_scene
from stencilnet.teaching.planning import prepare
from stencilnet.teaching.request import Labels, LessonForm, Pairs, Request, Restore, Style
from stencilnet.teaching.teaching import teach
from stencilnet.training.fit import Interrupted

from ..command_line import Stencil

PAIRS = ("--pairs", "before", "photos")
NOISE = ("--restore", "noise", "--photos", "photos")
COUNT = 8


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of one task, pairs, label maps and a painting."""
    folder = tmp_path_factory.mktemp("learned")
    scenes = sn.Splits(train=Scenes(count=2, size=32), validation=Scenes(count=2, size=32, first=9))
    config = sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(steps=1, batch=2))
    net = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), sn.Colorization(), scenes, name="colour", config=config)
    sn.save(net, folder / "bundle")
    for part in ("before", "photos", "labels", "masks"):
        (folder / part).mkdir()
    for number in range(COUNT):
        scene = draw_scene(1, number, 40)
        photo, labels = Image.fromarray(scene.image), np.minimum(scene.labels, 2).astype(np.uint8)
        photo.save(folder / "photos" / f"{number}.png")
        photo.point(lambda level: 255 - level).save(folder / "before" / f"{number}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{number}.png")
        Image.fromarray((255 * (labels > 0)).astype(np.uint8)).save(folder / "masks" / f"{number}.png")
    Image.fromarray(draw_scene(1, 90, 64).image).save(folder / "painting.png")
    return folder


@pytest.fixture
def desk(learned: Path, tmp_path: Path) -> Path:
    return shutil.copytree(learned, tmp_path / "desk")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def task_of(bundle: Path, name: str) -> dict[str, Any]:
    """A task's weights by their hash, and its record without times and dates."""
    found: dict[str, Any] = json.loads((bundle / "tasks" / name / "task.json").read_text())
    return {key: value for key, value in found.items() if key not in ("provenance", "sha256")}


FORMS: dict[tuple[str, ...], Callable[[Path], LessonForm]] = {
    PAIRS: lambda desk: Pairs(before=desk / "before", after=desk / "photos"),
    NOISE: lambda desk: Restore(damage="noise", photos=desk / "photos"),
    ("--labels", "photos", "labels"): lambda desk: Labels(images=desk / "photos", labels=desk / "labels"),
    ("--style", "painting.png", "--photos", "photos"): lambda desk: Style(
        painting=desk / "painting.png", photos=desk / "photos"
    ),
}


@pytest.mark.parametrize("words", FORMS, ids=lambda words: words[0].lstrip("-"))
def test_each_form_is_taught_continued_and_learned_again_by_its_config(
    desk: Path, stencil: Stencil, words: tuple[str, ...]
) -> None:
    shutil.copytree(desk / "bundle", desk / "other")
    before = files(desk / "bundle" / "tasks" / "colour")
    request = Request(bundle=desk / "bundle", name="new", form=FORMS[words](desk), steps=4)
    asked = itertools.count()
    with pytest.raises(Interrupted):
        teach(prepare(request, quiet), Session(out=desk, root=desk, stop=lambda: next(asked) > 2))
    assert task_names(desk / "bundle") == ["colour"]

    done = stencil("teach", "bundle", "new", *words, "--steps", 4, cwd=desk)
    assert done.returncode == 0, done.stderr
    out = desk / "bundle.teaching" / "new"
    assert f"continue  4 steps, as planned in {out / 'teach.yaml'}" in done.stderr
    assert task_names(desk / "bundle") == ["colour", "new"]
    assert files(desk / "bundle" / "tasks" / "colour") == before
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "metrics.csv",
        "metrics.jsonl",
        "samples",
        "teach.yaml",
    ]
    ((samples, columns),) = re.findall(r"^pictures  (\S+) \((input, .*)\)$", done.stdout, re.MULTILINE)
    with Image.open(samples) as sheet:
        assert sheet.size == (34 * len(columns.split(", ")) - 2, 32)
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert steps[-1] == 4

    for found in re.findall(r"^try it +stencil (.*)$", done.stdout, re.MULTILINE):
        assert stencil(*shlex.split(found), cwd=desk).returncode == 0
    with Image.open(desk / "new.png") as picture:
        assert picture.size == (40, 40)
    (again,) = re.findall(r"^refine +stencil (.*)$", done.stdout, re.MULTILINE)
    assert stencil(*shlex.split(again.replace("add bundle", "add other")), cwd=desk).returncode == 0
    assert task_of(desk / "other", "new") == task_of(desk / "bundle", "new")
    record = read_records(desk / "bundle")["new"]
    assert str(desk) not in json.dumps([record.settings, record.recipe])  # a bundle may be given away


def test_json_is_one_object_and_masks_are_found(desk: Path, stencil: Stencil) -> None:
    done = stencil(
        "teach", "bundle", "leaf", "--labels", "photos", "masks", "--steps", 2, "--out", "run", "--json", cwd=desk
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["name"], found["kind"], found["metric"], found["trivial"]) == (
        "leaf", "segmentation", "mIoU", "majority",
    )  # fmt: skip
    assert found["pictures"] == {"train": COUNT - 1, "validation": 1}
    assert found["config"]["tasks"][0]["task"]["classes"] == ["background", "leaf"]
    assert found["better"] == (found["value"] > found["trivial_value"])
    assert Path(found["samples"]).parent == Path("run/samples")
    assert found["bytes"] == sum(len(data) for data in files(desk / "bundle" / "tasks" / "leaf").values())

    measured = stencil("evaluate", "bundle", "run/teach.yaml", cwd=desk)
    assert measured.returncode == 0, measured.stderr
    assert "leaf: Measured on the validation data, which selected the training step" in measured.stderr
    assert re.search(r"^leaf +mIoU", measured.stdout, re.MULTILINE)


def test_events_tell_a_program_what_happens(desk: Path, stencil: Stencil) -> None:
    done = stencil("teach", "bundle", "new", *PAIRS, "--steps", 4, "--out", "run", "--events", cwd=desk)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event.pop("event") for event in events]
    order = [kind for kind, _ in itertools.groupby(kinds) if kind not in ("step", "samples")]
    assert order == ["note", "plan", "start", "result"]
    plan, start, result = (events[kinds.index(kind)] for kind in ("plan", "start", "result"))
    assert (plan["steps"], plan["pictures"]) == (4, {"train": COUNT - 1, "validation": 1})
    assert start == {
        "step": 0, "steps": 4, "metric": "MSE", "higher_is_better": False,
        "trivial": "the unchanged picture", "trivial_value": result["trivial_value"],
    }  # fmt: skip
    steps = [event for kind, event in zip(kinds, events, strict=True) if kind == "step"]
    assert steps[-1]["step"] == 4
    assert steps[-1]["seconds_left"] == 0
    measured = {event["step"]: event["value"] for event in steps if "value" in event}
    assert measured[result["selected_step"]] == pytest.approx(result["value"], rel=1e-3)
    samples = [event for kind, event in zip(kinds, events, strict=True) if kind == "samples"]
    assert [event["step"] for event in samples] == sorted(measured)
    assert {((desk / event["file"]).is_file(), *event["columns"]) for event in samples} == {
        (True, "input", "target", "output")
    }
    both = stencil("teach", "bundle", "other", *PAIRS, "--events", "--json", cwd=desk)
    assert (both.returncode, "--events cannot be combined with" in both.stderr) == (2, True)


def test_events_end_with_the_program_that_follows_them(
    desk: Path, stencil: Stencil, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = itertools.count(1)
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    done = stencil("teach", "bundle", "new", *PAIRS, "--steps", 4, "--events", cwd=desk)
    assert done.returncode == 1
    assert done.stderr.endswith("\nstencil: The training was ended from outside. Teach again.\n")
    assert task_names(desk / "bundle") == ["colour"]


def test_a_program_that_follows_is_told_what_cannot_be_written(
    desk: Path, stencil: Stencil, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("stencilnet.teaching.teaching.write_text", full)
    done = stencil("teach", "bundle", "new", *PAIRS, "--steps", 4, "--out", "run", "--events", cwd=desk)
    message = "Cannot write run/teach.yaml: No space left on device. Free disk space, and teach again."
    assert (done.returncode, done.stderr) == (1, f"stencil: {message}\n")


def test_a_dry_run_prints_the_config_and_writes_nothing(desk: Path, stencil: Stencil) -> None:
    before = files(desk)
    done = stencil("teach", "bundle", "new", *PAIRS, "--minutes", "9999", "--dry-run", cwd=desk)
    assert done.returncode == 0, done.stderr
    assert files(desk) == before
    chosen, _, text = done.stdout.partition("\n\n")
    assert re.search(r"^training  1000 steps of 8 crops", chosen, re.MULTILINE)  # the data do not hold more
    assert f"found     {COUNT} pairs in before and photos, 40x40 pixels" in chosen
    assert f"{COUNT - 1} to learn from; 1 held out to choose the best step and to measure: " in chosen
    (desk / "my.yaml").write_text(text)
    shown = json.loads(stencil("config", "show", desk / "my.yaml", "--json").stdout)
    assert shown["tasks"][0]["recipe"]["steps"] == 1000
    as_json = stencil("teach", "bundle", "new", *PAIRS, "--steps", "7", "--dry-run", "--json", cwd=desk)
    assert json.loads(as_json.stdout)["config"]["tasks"][0]["recipe"]["steps"] == 7


def test_a_task_that_is_worse_than_the_trivial_answer_says_so(desk: Path, stencil: Stencil) -> None:
    (desk / "nearly").mkdir()
    for file in (desk / "photos").iterdir():
        Image.open(file).point(lambda level: min(level + 1, 255)).save(desk / "nearly" / file.name)
    done = stencil("teach", "bundle", "same", "--pairs", "photos", "nearly", "--steps", "1", cwd=desk)
    assert done.returncode == 0, done.stderr
    assert "This is NOT better than the unchanged picture" in done.stdout
    assert "\n  stencil remove bundle same\n" in done.stdout
    assert " are few: expect a rough result. Pass more --steps.\n" in done.stderr
    assert done.stdout.endswith("with more pictures or more --steps.\n")


def test_an_interrupted_training_is_not_mixed_with_another_request(desk: Path, stencil: Stencil) -> None:
    form = Restore(damage="noise", photos=desk / "photos")
    request = Request(bundle=desk / "bundle", name="new", form=form, steps=4)
    with pytest.raises(Interrupted):
        teach(prepare(request, quiet), Session(out=desk, root=desk, stop=lambda: True))
    done = stencil("teach", "bundle", "new", *NOISE, "--steps", 5, cwd=desk)
    assert done.returncode == 2
    assert "an interrupted training that was asked for otherwise: steps was 4, is 5. Repeat the first" in done.stderr


def test_ctrl_c_prints_the_command_that_continues(
    desk: Path, stencil: Stencil, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed = threading.Event()
    pressed.set()
    monkeypatch.setattr("stencilnet.cli.work.stop_on_signal", lambda: contextlib.nullcontext(pressed))
    words = ("teach", "bundle", "new", *NOISE, "--steps", "4")
    done = stencil(*words, cwd=desk)
    assert done.returncode == 1
    assert f"Interrupted; finished work is saved. Continue with: stencil {' '.join(words)}\n" in done.stderr


@pytest.fixture
def broken(desk: Path) -> Iterator[Callable[[str], None]]:
    """Breaks the folders in one of several ways."""

    def picture(size: tuple[int, int], path: str) -> None:
        Image.new("RGB", size).save(desk / path)

    def break_it(how: str) -> None:
        match how:
            case "few":
                for number in range(3, COUNT):
                    (desk / "photos" / f"{number}.png").unlink()
            case "names":
                (desk / "before" / "3.png").rename(desk / "before" / "three.png")
            case "sizes":
                picture((40, 41), "before/3.png")
            case "colours":
                picture((40, 40), "labels/3.png")
            case "empty":
                (desk / "photos" / "3.png").write_bytes(b"")
            case "text":
                (desk / "painting.png").write_text("no picture")
            case "untrained":
                shutil.rmtree(desk / "bundle" / "tasks" / "colour")

    return break_it


LABELS = ("--labels", "photos", "labels")


@pytest.mark.parametrize(
    ("how", "words", "message"),
    [
        ("few", ("new", *NOISE), "Expected at least 4 pictures to learn from"),
        ("names", ("new", *PAIRS), "Expected files with the same names"),
        ("sizes", ("new", *PAIRS), "to have one size, but got 40x41 and 40x40"),
        ("colours", ("new", *LABELS), "one class index per pixel, but got a picture of mode RGB"),
        ("empty", ("new", *NOISE), "photos/3.png"),
        ("text", ("new", "--style", "painting.png", "--photos", "photos"), "painting.png"),
        ("untrained", ("new", *NOISE), "has no task, so its backbone may be untrained"),
        ("", ("colour", *NOISE), "already has a task colour. Choose another name, or remove it first"),
        ("", ("A b", *NOISE), "'A b' cannot be a task's name"),
        ("", ("bundle", *NOISE), "'bundle' cannot be a task's name"),
        ("", ("new", *NOISE, "--minutes", "0"), "--minutes"),
        ("", ("new", *NOISE, "--minutes", "1e-4"), "Only 0 steps fit in 0.0001 minutes"),
        ("", ("new", *NOISE, "--minutes", "1", "--steps", "9"), "pass either it or --steps"),
        ("", ("new",), "Pass one of --pairs, --labels, --style, --restore, but got none of them"),
        ("", ("new", *PAIRS, *NOISE), "but got --pairs and --restore"),
        ("", ("new", "--restore", "blur"), "--restore needs --photos FOLDER"),
        ("", ("new", *PAIRS, "--photos", "photos"), "--photos is for --style and --restore only, but got --pairs"),
        ("", ("new", *PAIRS, "--classes", "a,b"), "--classes and --threshold are for --labels only"),
        ("", ("new", *LABELS, "--classes", "a,b"), "a name for each of the 3 classes"),
        ("", ("new", "--labels", "photos", "photos"), "got a picture of mode RGB"),
        ("", ("new", "--pairs", "before", "nowhere"), "nowhere"),
        ("", ("new", "--pairs", "photos", "photos"), f"but got the same pixels in each of {COUNT} pairs"),
        ("", ("new", "--restore", "blur", "--photos", "."), "Pass --out with a folder elsewhere"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    desk: Path, stencil: Stencil, broken: Callable[[str], None], how: str, words: tuple[str, ...], message: str
) -> None:
    broken(how)
    before = files(desk)
    done = stencil("teach", "bundle", *words, cwd=desk)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert files(desk) == before


def test_a_bundle_that_cannot_be_written_to_is_refused_first(desk: Path, full_disk: Callable[[int], None]) -> None:
    request = Request(bundle=desk / "bundle", name="new", form=Restore(damage="blur", photos=desk / "photos"))
    full_disk(0)
    with pytest.raises(ValueError, match=r"Cannot write to .*bundle: File too large\. Nothing was trained\."):
        prepare(request, quiet)
