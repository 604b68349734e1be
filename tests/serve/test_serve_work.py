"""Labels, which no golden bundle gives, and the choice of a media type."""

import json
from typing import Any, cast

import numpy as np
import pytest

from stencilnet.bundle import TaskRecord
from stencilnet.kinds.classification import ClassificationKind
from stencilnet.runtime import Engine
from stencilnet.serve.media import preferred
from stencilnet.serve.problems import HttpError
from stencilnet.serve.work import Options, answers, planned
from stencilnet.stopping import Stop, StoppedError


class Labelling:
    """An engine with one task, which gives labels."""

    tasks = ("pets",)

    def __contains__(self, task: object) -> bool:
        return task == "pets"

    def record(self, _task: str) -> TaskRecord:
        recipe = {"view": {"crop": 8, "test": "crop"}}
        return TaskRecord(kind="classification", channels=2, method="none", recipe=recipe)

    def kind(self, _task: str) -> ClassificationKind:
        return ClassificationKind(classes=("cat", "dog"))

    def forward(self, image: Any, _task: str, **_options: Any) -> Any:
        assert image.shape == (3, 8, 8)
        return np.array([0.0, np.log(3.0)], np.float32)


ENGINE = cast(Engine, Labelling())


def test_labels_are_json(picture: bytes) -> None:
    plan = planned(ENGINE, ("pets",), Options(), 10_000)
    (answer,) = answers(plan, picture, Stop())
    assert (answer.media, answer.name) == ("application/json", "pets.json")
    found = json.loads(answer.body)["labels"]
    assert [each["label"] for each in found] == ["dog", "cat"]
    assert [each["probability"] for each in found] == pytest.approx([0.75, 0.25])


def test_what_labels_have_no_use_for_is_refused() -> None:
    with pytest.raises(HttpError, match="no `scale` for the task 'pets', which gives a label, but got native"):
        planned(ENGINE, ("pets",), Options(scale="native"), 10_000)
    with pytest.raises(HttpError, match="a task that takes drawings"):
        planned(ENGINE, ("pets",), Options(drawing=True), 10_000)
    with pytest.raises(HttpError, match="Expected a task among pets, but got 'cars'"):
        planned(ENGINE, ("cars",), Options(), 10_000)


def test_work_stops_between_tasks(picture: bytes) -> None:
    stop = Stop()
    work = answers(planned(ENGINE, ("pets",), Options(), 10_000), picture, stop)
    stop.ask()
    with pytest.raises(StoppedError):
        next(work)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("IMAGE/WEBP", "image/webp"),
        ("image/*;q=0.5, image/webp", "image/webp"),
        ("image/png;q=0.1, image/*;q=0.2", "image/webp"),
        ("image/png;q=0, */*;q=0.1", "image/webp"),
        ("text/html, application/json", None),
        ("image/png;q=0", None),
        ("image/png;q=wrong", None),
        (",, ;q=1", None),
    ],
)
def test_the_preferred_media_type(accept: str, expected: str | None) -> None:
    assert preferred(accept, ("image/png", "image/webp")) == expected
