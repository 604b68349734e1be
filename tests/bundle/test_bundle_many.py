"""A bundle of many tasks: opened, grown and shrunk without a look at those that are not asked for."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stencilnet as sn
from stencilnet.bundle import BundleError, TaskRecord, add_task, remove_task, task_names, verify
from stencilnet.bundle.schema import TaskFile
from stencilnet.delta import TaskDelta
from stencilnet.masks import arrays_of
from stencilnet.models import MultiTaskNet, load, save

MakeDelta = Callable[..., TaskDelta]
Records = dict[str, TaskRecord]
MANY = 70


def place(file: Path, order: int, layout: dict[str, Any] | None = None, **more: object) -> None:
    """Give a task another place, in a file of another layout if need be."""
    body = json.loads(file.read_text(encoding="utf-8")) | {"order": order, **more}
    del body["sha256"]
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    body["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    file.write_text(json.dumps(body, sort_keys=True, ensure_ascii=False, **(layout or {"indent": 2})) + "\n")


@pytest.fixture
def many(bundle: Path) -> Path:
    """`bundle` and 70 more tasks, the last learned the first by name."""
    for number in range(MANY):
        folder = bundle / "tasks" / f"t{number:02d}"
        shutil.copytree(bundle / "tasks/colour", folder)
        place(folder / "task.json", 2 + MANY - number)
    return bundle


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tasks whose record is read, as they are."""
    names: list[str] = []
    true = TaskFile.from_bytes

    def from_bytes(data: bytes, file: Path) -> TaskFile:
        names.append(file.parent.name)
        return true(data, file)

    monkeypatch.setattr(TaskFile, "from_bytes", from_bytes)
    return names


def add(path: Path, name: str, net: MultiTaskNet, make_delta: MakeDelta, records: Records) -> int:
    """Add a task, and return the place that it got."""
    add_task(path, name, records["colour"], make_delta(net, "piggyback", 2, 3), shared=arrays_of(net.state.shared))
    order = json.loads((path / "tasks" / name / "task.json").read_text())["order"]
    assert isinstance(order, int)
    return order


def test_opening_reads_no_task_and_using_one_reads_that_one_once(many: Path, read: list[str]) -> None:
    net, engine = load(many), sn.Engine(many)
    assert len(net.deltas) == len(net.records) == 2 + MANY
    assert "t05" in net.deltas
    assert "t99" not in net.records
    with pytest.raises(KeyError):
        net.records["t99"]
    assert read == []
    assert net.records["t05"] is net.records["t05"]
    assert net.deltas["t05"] is net.deltas["t05"]
    assert read == ["t05"]
    assert engine.record("shapes").kind == "segmentation"
    assert read == ["t05", "shapes"]


def test_the_order_is_read_when_it_is_asked_for_and_once(many: Path, read: list[str]) -> None:
    net = load(many)
    assert net.records["t05"].channels == 2
    expected = ("shapes", "colour", *(f"t{number:02d}" for number in reversed(range(MANY))))
    assert net.tasks == tuple(net.deltas) == tuple(net.records) == expected
    assert sorted(read) == sorted(expected)  # t05 not again


def test_names_are_listed_without_reading_any(many: Path, read: list[str]) -> None:
    assert task_names(many) == ["colour", "shapes", *(f"t{number:02d}" for number in range(MANY))]
    assert task_names(many.parent) == []
    assert read == []


def test_adding_and_removing_read_as_much_of_many_as_of_few(
    many: Path, read: list[str], make_delta: MakeDelta, records: Records
) -> None:
    net = load(many)
    assert add(many, "new", net, make_delta, records) == 3 + MANY
    assert read == ["colour"]  # for the card
    remove_task(many, "new")
    assert read == ["colour"] * 2
    assert verify(many).findings == ()


def test_saving_one_more_task_reads_none_of_the_others(
    many: Path, read: list[str], make_delta: MakeDelta, records: Records
) -> None:
    net = load(many)
    one = net.with_state(
        type(net.state)(net.state.shared).add("new", make_delta(net, "piggyback", 2, 3)), {"new": records["colour"]}
    )
    save(one, many)
    assert read == ["colour"]  # for the card
    assert load(many).tasks[-1] == "new"


def test_learning_one_more_task_reads_none_of_the_others(
    many: Path, read: list[str], make_delta: MakeDelta, records: Records
) -> None:
    net = load(many)
    state = net.state.add("new", make_delta(net, "piggyback", 2, 3))
    state = state.add("newer", make_delta(net, "piggyback", 2, 4))
    assert "t05" in state.deltas
    assert len(state.deltas) == 4 + MANY
    assert read == []
    assert tuple(state.deltas) == (*net.tasks, "new", "newer")


def test_the_card_of_many_tasks_lists_none(many: Path) -> None:
    remove_task(many, "t69")
    card = (many / "README.md").read_text()
    assert "More than 20 tasks: `stencil info` lists them." in card
    assert [line for line in card.splitlines() if line.startswith("| ")] == []
    assert 'engine.run("photo.jpg", task="colour")' in card


def test_the_card_of_few_tasks_lists_them_in_the_order_of_learning(many: Path) -> None:
    for number in range(18, MANY):
        remove_task(many, f"t{number:02d}")
    card = (many / "README.md").read_text()
    rows = [line.split()[1] for line in card.splitlines() if line.startswith("| ")][2:]
    assert rows == ["shapes", "colour", *(f"t{number:02d}" for number in reversed(range(18)))]
    assert "One frozen backbone and 20 tasks;" in card
    assert "More than" not in card


def damage(file: Path, how: str) -> None:
    if how == "cut":
        file.write_bytes(file.read_bytes()[:40])
    elif how == "changed":
        file.write_text(file.read_text().replace("colorization", "colorisation"))
    else:
        file.unlink()
        if how == "pipe":
            os.mkfifo(file)
        else:
            file.symlink_to(file)


@pytest.mark.parametrize("how", ["cut", "changed", "pipe", "circle"])
def test_a_damaged_task_keeps_no_other_from_being_added(
    how: str, bundle: Path, make_delta: MakeDelta, records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    damage(bundle / "tasks/colour/task.json", how)
    net = load(bundle)
    place(bundle / "tasks/shapes/task.json", 5)
    assert add(bundle, "new", net, make_delta, records) == 6
    assert load(bundle).records["new"] == records["colour"]
    assert "README.md of the bundle was not updated" in caplog.text
    with pytest.raises(BundleError, match=r"tasks/colour/task\.json: "):
        load(bundle).records["colour"]


def test_a_place_is_found_in_any_layout(bundle: Path, make_delta: MakeDelta, records: Records) -> None:
    net, file = load(bundle), bundle / "tasks/shapes/task.json"
    place(file, 5, recipe={"order": 1000})
    layouts = ({"indent": None}, {"indent": 4}, {"indent": 1}, {"separators": (",", ":")}, {"indent": 2})
    for number, layout in enumerate(layouts):
        place(file, 10 + 10 * number, layout)
        assert add(bundle, f"new-{number}", net, make_delta, records) == 11 + 10 * number
    place(file, 10**12)
    assert add(bundle, "last", net, make_delta, records) == 10**12 + 1
    assert load(bundle).tasks[-2:] == ("shapes", "last")


def test_what_a_record_says_of_orders_is_not_its_place(bundle: Path, make_delta: MakeDelta, records: Records) -> None:
    net = load(bundle)
    record = TaskRecord(
        kind="colorization",
        channels=2,
        method="piggyback",
        recipe={"order": 50, "text": '\n  "order": 60,\n', "deep": [{"order": 70}]},
    )
    add_task(bundle, "odd", record, make_delta(net, "piggyback", 2, 3), shared=arrays_of(net.state.shared))
    assert add(bundle, "new", net, make_delta, records) == 3
