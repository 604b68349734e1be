"""What is chosen for what folders hold: tables of facts and configs; nothing is read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from stencilnet.config.reading import from_plain
from stencilnet.data.sources import HoldOut, split_names
from stencilnet.teaching.choosing import (
    HELD_MOST,
    LEAST_STEPS,
    choose,
    evaluations_within,
    held_share,
    steps_within,
    with_steps,
)
from stencilnet.teaching.looking import FolderFacts
from stencilnet.teaching.request import Labels, LessonForm, Pairs, Request, Restore, Style, TeachError

PAIRS = Pairs(before=Path("/d/in"), after=Path("/d/out"))
LABELS = Labels(images=Path("/d/photos"), labels=Path("/d/labels"))
STYLE = Style(painting=Path("/d/scream.jpg"), photos=Path("/d/photos"))
NOISE = Restore(damage="noise", photos=Path("/d/photos"))
FOUND = FolderFacts(count=100, shorter=320, size=(480, 320), difference=10, spread=50, values={0: 60, 1: 30, 2: 10})


def chosen(form: LessonForm, found: FolderFacts = FOUND, crop: int = 96) -> dict[str, Any]:
    config = choose(Request(bundle=Path("b"), name="new", form=form), found, crop)
    (task,) = config["tasks"]
    return dict(task)


@pytest.mark.parametrize("form", [PAIRS, LABELS, STYLE, NOISE], ids=lambda form: form.form)
def test_every_config_is_one_that_can_be_read(form: LessonForm) -> None:
    config = with_steps(choose(Request(bundle=Path("b"), name="new", form=form), FOUND, 96), 100, every=13, workers=2)
    read = from_plain(yaml.safe_load(yaml.safe_dump(config)), "teach.yaml")
    plan = read.tasks[0]
    assert (plan.name, plan.recipe.steps, plan.recipe.schedule) == ("new", 100, "cosine")
    assert (read.trainer.evaluate_every, read.trainer.checkpoint_every, read.trainer.workers) == (13, 13, 2)
    assert [method.name for method in read.methods] == ["quantized_delta"]
    assert plan.data.test is None


@pytest.mark.parametrize(
    ("form", "found", "task", "train"),
    [
        (PAIRS, {}, {"kind": "restoration", "residual": True}, {"kind": "pairs", "inputs": "/d/in"}),
        (PAIRS, {"difference": 26}, {"kind": "restoration", "residual": False}, None),
        (PAIRS, {"gray": True}, {"kind": "colorization"}, {"kind": "images", "folder": "/d/out"}),
        (NOISE, {}, {"kind": "restoration", "residual": True}, {"kind": "images", "folder": "/d/photos"}),
        (STYLE, {}, {"kind": "style", "style": "scream.jpg"}, {"kind": "images", "folder": "/d/photos"}),
        (LABELS, {}, {"classes": ["class 0", "class 1", "class 2"]}, {"kind": "labelled"}),
        (LABELS, {"values": {0: 5, 3: 5, 255: 9}}, {"classes": [f"class {i}" for i in range(4)]}, None),
        (LABELS, {"values": {0: 50, 255: 50}}, {"classes": ["background", "new"]}, {"threshold": 128}),
        (LABELS, {"values": {0: 99, 255: 1}}, {"class_weights": [1.0, 8.0]}, {"threshold": 128}),
        (LABELS, {"values": {0: 99, 1: 1}}, {"class_weights": [1.0, 8.0]}, None),
        (replace(LABELS, classes=("a", "b", "c", "d")), {}, {"classes": ["a", "b", "c", "d"]}, None),
        (replace(LABELS, threshold=9), {"values": {0: 9, 1: 1}}, {"classes": ["background", "new"]}, {"threshold": 9}),
    ],
)  # fmt: skip
def test_kind_and_source_fit_the_folders(
    form: LessonForm, found: dict[str, Any], task: dict[str, Any], train: dict[str, Any] | None
) -> None:
    plan = chosen(form, replace(FOUND, **found))
    assert plan["task"] == plan["task"] | task
    assert plan["data"]["train"] == plan["data"]["train"] | (train or {})
    assert ("class_weights" in plan["task"]) == ("class_weights" in task)
    assert plan["data"].get("drop_gray", False) == (task.get("kind") == "colorization")


@pytest.mark.parametrize(
    ("form", "shorter", "crop", "view"),
    [
        (NOISE, 320, 96, {"crop": 96, "damage": {"kind": "noise"}}),
        (NOISE, 4000, 96, {"crop": 96, "damage": {"kind": "noise"}}),  # it runs at a photo's own size
        (PAIRS, 60, 96, {"crop": 48}),
        (PAIRS, 10, 96, {"crop": 16}),
        (LABELS, 384, 96, {"crop": 96, "scale": [0.75, 1.25]}),
        (LABELS, 385, 96, {"crop": 96, "resize": 256, "scale": [0.75, 1.25]}),
        (STYLE, 4000, 96, {"crop": 96, "resize": 256}),
        (STYLE, 4000, 256, {"crop": 256, "resize": 512}),
    ],
)
def test_the_view_fits_pictures_and_backbone(form: LessonForm, shorter: int, crop: int, view: dict[str, Any]) -> None:
    assert chosen(form, replace(FOUND, shorter=shorter), crop)["view"] == view


@pytest.mark.parametrize(
    ("form", "difference", "rate"),
    [(LABELS, 0, 2e-3), (STYLE, 0, 4e-3), (NOISE, 0, 8e-3), (PAIRS, 9, 8e-3), (PAIRS, 99, 4e-3)],
)
def test_rates_are_those_that_were_best(form: LessonForm, difference: float, rate: float) -> None:
    assert chosen(form, replace(FOUND, difference=difference))["recipe"]["lr"] == rate


@pytest.mark.parametrize(
    ("form", "values", "message"),
    [
        (LABELS, {0: 9}, "expected labels of at least two classes"),
        (LABELS, {255: 9}, "expected labels of at least two classes"),
        (LABELS, dict.fromkeys(range(255), 1), "look like shades of gray"),
        (LABELS, {0: 9, 42: 1, 85: 1, 255: 3}, "look like shades of gray"),
        (replace(LABELS, classes=("a", "b")), {0: 1, 1: 1, 2: 1}, "a name for each of the 3 classes"),
        (replace(LABELS, classes=("a", "b", "c"), threshold=9), {0: 1, 1: 1}, "--classes names 3"),
    ],
)
def test_labels_that_are_none_are_refused(form: LessonForm, values: dict[int, int], message: str) -> None:
    with pytest.raises(TeachError, match=f"(?i){message}"):
        chosen(form, replace(FOUND, values=values))


@pytest.mark.parametrize(
    ("count", "held"), [(4, 1), (10, 2), (100, 15), (320, 48), (321, 48), (5000, 48), (118287, 48)]
)
def test_a_bounded_number_of_pictures_is_held_out(count: int, held: int) -> None:
    names = [f"{index:06d}" for index in range(count)]
    kept, last = split_names(names, HoldOut(share=held_share(count)))
    assert [len(kept), len(last), last[-1]] == [count - held, held, count - 1]
    assert held <= HELD_MOST


@pytest.mark.parametrize(
    ("second", "pictures", "steps"), [(1.0, 100, 290), (0.01, 100, 2500), (0.01, 8, 1000), (10.0, 100, 29)]
)
def test_steps_fill_the_time_but_not_beyond_what_the_data_hold(second: float, pictures: int, steps: int) -> None:
    assert steps_within(300, lambda count: 10 + count * second, pictures=pictures, batch=8) == steps


def test_too_little_time_is_refused_with_the_time_that_is_enough() -> None:
    with pytest.raises(TeachError, match=r"Only 9 steps fit in 1\.5 minutes .* Pass --minutes 34 or more"):
        steps_within(90, lambda count: 10.0 * count, pictures=100, batch=8)
    assert steps_within(10 * LEAST_STEPS, lambda count: 10.0 * count, pictures=100, batch=8) == LEAST_STEPS


@pytest.mark.parametrize(("once", "evaluations"), [(0.001, 8), (7.5, 8), (10, 6), (20, 3), (200, 3)])
def test_evaluations_take_a_fifth_of_the_time(once: float, evaluations: int) -> None:
    assert evaluations_within(300, once) == evaluations
