"""What data hold is counted before anything is trained: where nothing can be wrong, all scores are perfect."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

import stencilnet as sn
from stencilnet.config.reading import ConfigError, read_config
from stencilnet.config.schema import Data, Experiment, TaskPlan
from stencilnet.data.classes import ClassFoldersSource
from stencilnet.data.folders import Examples
from stencilnet.data.sources import ImagesSource, LabelledSource, PairsSource
from stencilnet.experiment.adding import add_tasks
from stencilnet.experiment.evaluating import evaluate_bundle
from stencilnet.experiment.forecast import forecast
from stencilnet.experiment.reporting import material, write_report
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.learning import counting
from stencilnet.learning.counting import Counts, DataError, check_data, count
from stencilnet.learning.opening import TaskData, open_data
from stencilnet.scenes import Scenes
from stencilnet.tasks.task import Example, Task

Pixels = npt.NDArray[np.uint8]
POLYPS = sn.Segmentation(classes=("background", "polyp"))
DATA = Data(
    about="",
    train=LabelledSource(images="train/images", labels="train/labels"),
    test=LabelledSource(images="test/images", labels="test/labels"),
)


def save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise(seed: int, *shape: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_labelled(root: Path, part: str, labels: list[Pixels]) -> None:
    for index, label in enumerate(labels):
        save(root / part / "images" / f"{index}.png", noise(index, *label.shape, 3))
        save(root / part / "labels" / f"{index}.png", label)


def mask(value: int, share: float = 0.125, size: int = 32) -> Pixels:
    """A label map whose upper rows have a value, and the others 0."""
    label = np.zeros((size, size), np.uint8)
    label[: round(share * size)] = value
    return label


def plan(task: Task = POLYPS, data: Data = DATA) -> TaskPlan:
    return TaskPlan(name="polyps", title="Polyps", task=task, data=data, view=sn.View(crop=32))


def found(root: Path, of: TaskPlan | None = None, memo: Path | None = None) -> tuple[str, ...]:
    of = of or plan()
    return check_data(of, open_data(of, root), memo=memo)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Masks of 0 and 255, as most programs save them."""
    for part in ("train", "test"):
        write_labelled(tmp_path, part, [mask(255)] * 8)
    return tmp_path


def test_masks_of_0_and_255_are_refused(masks: Path) -> None:
    with pytest.raises(DataError) as error:
        found(masks)
    assert str(error.value) == (
        "polyps: expected labelled pixels of at least 2 classes in the training part, but it holds no labelled pixels "
        "of class `polyp`; 12.5 % are 255 (void). Labels are indices: 0 is `background`, 1 is `polyp`. For masks of 0 "
        "and 255 set the source's `threshold: 128`."
    )


def test_the_remedy_works(masks: Path) -> None:
    cut = replace(DATA, train=replace(DATA.train, threshold=128), test=replace(DATA.test, threshold=128))
    assert found(masks, plan(data=cut)) == ()
    opened = open_data(plan(data=cut), masks)
    assert count(POLYPS, opened.train, "") == Counts(found=(7 * 28 * 32, 7 * 4 * 32, 0), looked=7, examples=7)


def test_a_threshold_is_for_two_classes() -> None:
    three = sn.Segmentation(classes=("a", "b", "c"))
    with pytest.raises(ValueError, match=r"two classes with `threshold`, .* but got 3, with `threshold` in data.test"):
        plan(three, replace(DATA, test=replace(DATA.test, threshold=128)))


def test_missing_classes_are_told(tmp_path: Path) -> None:
    write_labelled(tmp_path, "train", [mask(1)] * 6 + [mask(3)])
    write_labelled(tmp_path, "test", [mask(2), mask(0)])
    lines = found(tmp_path, plan(sn.Segmentation(classes=("a", "b", "c", "d"))))
    assert lines == (
        "polyps: the training part holds no labelled pixels of 2 of the 4 classes (`c`, `d`). "
        "It is learned on the other classes.",
        "polyps: the test part holds no labelled pixels of 2 of the 4 classes (`b`, `d`). "
        "It is measured on the other classes.",
    )


@pytest.mark.parametrize("part", ["validation", "test"])
def test_nothing_but_void_is_refused(part: str, tmp_path: Path) -> None:
    for each in ("train", "validation", "test"):
        write_labelled(tmp_path, each, [mask(255, share=1.0) if each == part else mask(1)] * 3)
    data = replace(DATA, validation=LabelledSource(images="validation/images", labels="validation/labels"))
    with pytest.raises(DataError, match=rf"labelled pixels in the {part} part, .* 100 % are 255 \(void\)"):
        found(tmp_path, plan(data=data))


@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_of_no_class_are_found_before_training(part: str, tmp_path: Path) -> None:
    for each in ("train", "test"):
        write_labelled(tmp_path, each, [mask(1), *[mask(7 if each == part else 1)] * 4, mask(1)])
    with pytest.raises(
        DataError, match=r"polyps, \w+ part: Example `1.png`: .* indices below 2 .* but got 7 in 128 of"
    ):
        found(tmp_path)


def test_counts_are_kept_until_files_change(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memo, counted = masks / "counts" / "polyps.json", []
    real = counting.count
    monkeypatch.setattr(counting, "count", lambda *args, **more: (counted.append(args[2]), real(*args, **more))[1])
    write_labelled(masks, "train", [mask(1)] * 8)
    lines = found(masks, memo=memo)
    assert lines == (
        "polyps: the test part holds no labelled pixels of class `polyp`; 12.5 % are 255 (void). "
        "It is measured on the other classes.",
    )
    kept = json.loads(memo.read_text())
    assert kept["train"]["found"] == {"background": 7 * 28 * 32, "polyp": 7 * 4 * 32}
    assert kept["test"]["rest"] == 8 * 4 * 32
    assert found(masks, memo=memo) == lines
    assert counted == ["polyps training", "polyps validation", "polyps test"]
    save(masks / "test" / "labels" / "0.png", mask(1, share=0.25))
    assert found(masks, memo=memo) == ()
    assert counted[3:] == ["polyps test"]
    cut = replace(DATA, train=replace(DATA.train, threshold=1))
    found(masks, plan(data=cut), memo=memo)
    assert counted[4:] == ["polyps training", "polyps validation"]
    memo.write_text("{ half")
    assert found(masks, memo=memo) == ()
    assert len(counted) == 9


def test_labels_are_counted_without_their_photos(masks: Path) -> None:
    write_labelled(masks, "train", [mask(1)] * 8)
    for path in (masks / "train" / "images").iterdir():
        path.write_bytes(path.read_bytes()[:-1000])  # the headers are read, the pixels are not
    assert len(found(masks)) == 1


def test_large_sets_are_looked_at_until_everything_was_seen(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_labelled(masks, "train", [mask(1)] * 60)
    examples = DATA.train.open(masks)
    assert count(POLYPS, examples, "", limit=60).looked == 60
    assert count(POLYPS, examples, "", limit=59).looked == 1
    write_labelled(masks, "train", [mask(0)] * 60)
    assert count(POLYPS, examples, "", limit=59) == Counts(found=(60 * 32 * 32, 0, 0), looked=60, examples=60)


def test_scenes_are_not_all_drawn() -> None:
    scenes = Scenes(count=400, size=32, space="coarse")
    task = sn.Segmentation(classes=tuple("abcdefg"))
    seen = count(task, Examples(names=scenes.names, read=scenes.__getitem__), "")
    assert min(seen.found[:-1]) > 0
    assert seen.looked < 100


def test_a_class_folder_may_lose_its_only_image_to_validation(tmp_path: Path) -> None:
    for part, name, images in (("train", "cat", 4), ("train", "dog", 4), ("train", "eel", 1), ("test", "cat", 1),
                               ("test", "dog", 2), ("test", "eel", 1)):  # fmt: skip
        for index in range(images):
            save(tmp_path / part / name / f"{index}.png", noise(index, 40, 40, 3))
    data = Data(about="", train=ClassFoldersSource(folder="train"), test=ClassFoldersSource(folder="test"))
    of = TaskPlan(
        name="pets", title="", task=sn.Classification(classes=("cat", "dog", "eel")), data=data,
    )  # fmt: skip
    assert found(tmp_path, of) == (
        "pets: the training part holds no examples of class `eel`. It is learned on the other classes.",
    )
    two = replace(of, task=sn.Classification(classes=("cat", "dog")))
    opened = TaskData(
        train=data.train.open(tmp_path).take([0, 1]),
        validation=data.train.open(tmp_path).take([2]),
        test=data.test.open(tmp_path).take([0, 1]),
    )
    with pytest.raises(DataError, match=r"examples of at least 2 classes in the training part, .* of class `dog`"):
        check_data(two, opened)


def pairs_of(root: Path, target: Pixels, test: Pixels) -> Data:
    for part, pixels in (("train", target), ("test", test)):
        for index in range(3):
            save(root / part / "inputs" / f"{index}.png", noise(index, 40, 40, 3))
            save(root / part / "targets" / f"{index}.png", pixels)
    return Data(
        about="",
        train=PairsSource(inputs="train/inputs", targets="train/targets"),
        test=PairsSource(inputs="test/inputs", targets="test/targets"),
    )


def ramp() -> Pixels:
    return np.arange(40 * 40, dtype=np.int64).reshape(40, 40).astype(np.uint8)


@pytest.mark.parametrize(
    ("task", "good", "bad", "message"),
    [
        (sn.Depth(), ramp(), np.zeros((40, 40), np.uint8), r"at least 2 finite depths .* got none; 100 % are 0 \("),
        (
            sn.Depth(),
            ramp(),
            np.full((40, 40), 9, np.uint8),
            "at least 2 finite depths in the training part, but got 1",
        ),
        (sn.Normals(), noise(3, 40, 40, 3), np.full((40, 40, 3), 128, np.uint8), "pixels with a surface .* got none"),
    ],
    ids=["sky", "constant depth", "no surface"],
)
def test_targets_that_teach_nothing(task: Task, good: Pixels, bad: Pixels, message: str, tmp_path: Path) -> None:
    view = sn.View(crop=32, flip=False)
    of = replace(plan(), task=task, view=view, data=pairs_of(tmp_path, good, good))
    assert found(tmp_path, of) == ()
    with pytest.raises(DataError, match=message):
        found(tmp_path, replace(of, data=pairs_of(tmp_path, bad, good)))
    if bad.max() in (0, 128):
        with pytest.raises(DataError, match=r"in the test part, but got none; 100 % are"):
            found(tmp_path, replace(of, data=pairs_of(tmp_path, good, bad)))


@pytest.mark.parametrize(
    ("task", "good", "bad", "message"),
    [
        (sn.Colorization(), noise(0, 40, 40, 3), noise(0, 40, 40), "photos with colour .* got none; 100 % are gray"),
        (
            sn.Edges2Photo(),
            noise(0, 40, 40, 3),
            np.full((40, 40), 7, np.uint8),
            "drawings with lines .* 100 % are blank",
        ),
    ],
    ids=["gray", "blank"],
)
def test_photos_that_teach_nothing(task: Task, good: Pixels, bad: Pixels, message: str, tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / "train" / f"{index}.png", good)
        save(tmp_path / "test" / f"{index}.png", bad)
    data = Data(about="", train=ImagesSource(folder="train"), test=ImagesSource(folder="train"))
    assert found(tmp_path, plan(task, data)) == ()
    with pytest.raises(DataError, match=message):
        found(tmp_path, plan(task, replace(data, test=ImagesSource(folder="test"))))


def experiment(*plans: TaskPlan) -> Experiment:
    """The tiny demo's network and methods, on a few tasks."""
    tiny = read_config("demo/tiny")
    methods = tuple(each for each in tiny.methods if each.name == "piggyback")
    recipe = sn.Recipe(steps=2, batch=2)
    sized = tuple(replace(each, recipe=recipe) for each in plans)
    return replace(tiny, tasks=sized, methods=methods, trainer=replace(tiny.trainer, evaluate_every=2), pictures=0)


def test_a_run_is_refused_before_its_first_step(masks: Path) -> None:
    good = replace(plan(), name="good", data=replace(DATA, train=replace(DATA.train, threshold=128),
                                                     test=replace(DATA.test, threshold=128)))  # fmt: skip
    out = masks / "run"
    asked: list[bool] = []
    session = Session(out=out, root=masks, stop=lambda: bool(asked.append(True)))
    with pytest.raises(DataError, match="polyps: expected labelled pixels of at least 2 classes"):
        Run(experiment(good, plan()), session).compare()
    assert not asked
    assert {path.name for path in out.iterdir()} == {"counts"}
    with pytest.raises(DataError):  # nothing is in the way of a second try
        Run(experiment(good, plan()), session).compare()
    with pytest.raises(DataError):
        forecast(experiment(good, plan()), masks, methods=["piggyback"])
    assert forecast(experiment(good, plan()), masks, methods=["piggyback"], only=["good"])
    with pytest.raises(DataError):
        add_tasks(_bundle(masks), experiment(plan()), replace(session, out=masks / "added"))


def _bundle(folder: Path) -> Path:
    splits = sn.Splits(train=Scenes(count=6, size=32), validation=Scenes(count=2, size=32, first=9))
    how = sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(steps=1, batch=2))
    net = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), sn.Colorization(), splits, name="first", config=how)
    sn.save(net, folder / "bundle")
    return folder / "bundle"


def test_what_is_missing_stands_in_run_folder_and_report(tmp_path: Path) -> None:
    write_labelled(tmp_path, "train", [mask(1, 0.5)] * 4)
    write_labelled(tmp_path, "test", [mask(0)] * 2)
    told: list[str] = []
    run = Run(experiment(plan()), Session(out=tmp_path / "run", root=tmp_path, announce=told.append))
    run.compare()
    line = "polyps: the test part holds no labelled pixels of class `polyp`. It is measured on the other classes."
    assert told[0] == line
    assert material(run).lacking == (line,)
    write_report(run)
    assert f"- {line}\n".replace("`", r"\`") in (tmp_path / "run" / "report.md").read_text()
    assert json.loads((tmp_path / "run" / "counts" / "polyps.json").read_text())["test"]["found"]["polyp"] == 0
    told.clear()
    session = Session(out=tmp_path, root=tmp_path, announce=told.append)
    evaluate_bundle(tmp_path / "run" / "backbone" / "bundle", experiment(plan()), session)
    assert line in told


def test_own_data_sets_are_looked_at_too(caplog: pytest.LogCaptureFixture) -> None:
    def example(value: int) -> Example:
        label = torch.zeros(32, 32, dtype=torch.uint8)
        label[:8] = value
        return Example(name=f"of-{value}", image=torch.zeros(3, 32, 32, dtype=torch.uint8), label=label)

    net, how = sn.MultiTaskNet(sn.UNet(width=2)), sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(steps=1, batch=1))

    def learn(task: sn.Segmentation, *values: int) -> None:
        splits = sn.Splits(train=[example(value) for value in values], validation=[example(1)])
        sn.learn(net, task, splits, config=how)

    with pytest.raises(DataError, match=r"no labelled pixels of class `polyp`; 25 % are 255 \(void\)"):
        learn(POLYPS, 255, 255)
    with pytest.raises(ValueError, match=r"Example `of-7`: expected labels to be indices below 2"):
        learn(POLYPS, 7, 7)
    learn(sn.Segmentation(classes=("a", "b", "c")), 1, 0)
    assert (
        "segmentation: the training part holds no labelled pixels of class `c`. It is learned on the other classes."
        in caplog.text
    )


def test_all_mistakes_of_all_tasks_are_told(masks: Path) -> None:
    save(masks / "test" / "labels" / "3.png", mask(9))
    with pytest.raises(DataError) as error:
        Run(experiment(plan(), replace(plan(), name="again")), Session(out=masks / "run", root=masks)).compare()
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "polyps, test part", "polyps", "again, test part", "again",
    ]  # fmt: skip


def test_no_method_is_called_counts() -> None:
    with pytest.raises(ConfigError, match="`name: counts` is reserved"):
        read_config("demo/tiny", ["methods.0.name=counts"])
