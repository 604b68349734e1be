"""Classification tasks take their classes' names from the folders, or must agree with them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stencilnet.config.classes import class_problems, with_classes
from stencilnet.config.reading import read_config, to_plain
from stencilnet.config.schema import Experiment, TaskPlan
from stencilnet.data.classes import ClassFoldersSource
from stencilnet.learning.opening import open_data
from stencilnet.tasks.classification import Classification


def two_folders(root: Path, train: tuple[str, ...], test: tuple[str, ...]) -> None:
    for part, classes in (("train", train), ("test", test)):
        for name in classes:
            (root / "cubs" / part / name).mkdir(parents=True)
            for number in range(3):
                pixels = np.full((40, 40, 3), 10 * number, dtype=np.uint8)
                Image.fromarray(pixels).save(root / "cubs" / part / name / f"{number}.png")


def birds(*classes: str) -> Experiment:
    whole = read_config("paper/figure14")
    plan = dataclasses.replace(whole.tasks[0], task=Classification(classes=classes))
    return dataclasses.replace(whole, tasks=(plan,))


def plan_of(experiment: Experiment) -> TaskPlan:
    return experiment.tasks[0]


def test_folders_name_the_classes(tmp_path: Path) -> None:
    two_folders(tmp_path, ("wren", "auk"), ("auk", "wren"))
    named = with_classes(birds(), tmp_path)
    assert plan_of(named).task == Classification(classes=("auk", "wren"))
    assert with_classes(named, tmp_path) == named
    assert to_plain(named)["tasks"][0]["task"]["classes"] in (["auk", "wren"], ("auk", "wren"))
    data = open_data(plan_of(named), tmp_path)
    assert [data.validation[i].category for i in range(len(data.validation))] == [0, 1]  # some of every class
    assert [data.train[i].category for i in range(len(data.train))] == [0, 0, 1, 1]


def test_folders_that_are_not_the_classes_are_told_by_path(tmp_path: Path) -> None:
    two_folders(tmp_path, ("auk", "wren"), ("auk", "owl"))
    expected = (
        f"Expected the folders in {tmp_path}/cubs/test to be the task's 2 classes, but 1 missing (wren) and "
        "1 unknown (owl). Rename folders or classes until they are the same, or leave `classes` out."
    )
    assert list(class_problems(plan_of(birds()), tmp_path)) == [("data.test", expected)]
    assert list(class_problems(plan_of(birds("auk", "wren")), tmp_path)) == [("data.test", expected)]
    assert [key for key, _ in class_problems(plan_of(birds("auk", "kea")), tmp_path)] == [
        "data.train",
        "data.test",
    ]
    with pytest.raises(ValueError, match=r"cubs-head: data.test: Expected the folders"):
        open_data(plan_of(birds("auk", "wren")), tmp_path)


def test_a_missing_folder_is_told_by_opening_it(tmp_path: Path) -> None:
    assert list(class_problems(plan_of(birds()), tmp_path)) == []
    with pytest.raises(ValueError, match=r"class folders at .*cubs/train, but there is no such folder"):
        with_classes(birds(), tmp_path)


def test_without_folders_the_classes_must_be_named(tmp_path: Path) -> None:
    experiment = birds()
    plan = plan_of(experiment)
    scenes = read_config("demo/tiny").tasks[0].data
    other = dataclasses.replace(experiment, tasks=(dataclasses.replace(plan, data=scenes),))
    with pytest.raises(ValueError, match=r"cubs-head: expected `classes`, or training data of kind `class_folders`"):
        with_classes(other, tmp_path)


def test_the_shipped_config_is_the_original_setting() -> None:
    experiment = read_config("paper/figure14")
    assert (experiment.backbone.kind, experiment.backbone.init, experiment.backbone.frozen) == (
        "vgg16",
        "imagenet",
        True,
    )
    assert [plan.name for plan in experiment.tasks[1:]] == ["cubs", "cars", "flowers", "wikiart", "sketches"]
    for plan in experiment.tasks:
        folder = plan.name.removesuffix("-head")
        assert plan.data.train == ClassFoldersSource(folder=f"{folder}/train")
        assert plan.data.test == ClassFoldersSource(folder=f"{folder}/test")
        assert (plan.view.crop, plan.view.test, plan.recipe.batch, plan.recipe.lr) == (224, "crop", 32, 1e-4)
