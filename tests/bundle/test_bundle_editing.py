"""Adding, replacing, removing and saving again: what was learned is never lost, moved or mixed up."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stencilnet.bundle import BundleError, TaskRecord, add_task, remove_task, replace_task, verify
from stencilnet.delta import BitMask, DeltaError, Replace, Select, TaskDelta
from stencilnet.masks import array_of, arrays_of, task_weights
from stencilnet.models import MultiTaskNet, load, save

MakeNet = Callable[..., MultiTaskNet]
MakeDelta = Callable[..., TaskDelta]
Records = dict[str, TaskRecord]
FileBytes = Callable[[Path], dict[str, bytes]]

IMAGE = torch.rand(1, 3, 33, 40, generator=torch.Generator().manual_seed(3))


def outputs(path: Path) -> dict[str, bytes]:
    net = load(path)
    return {name: net(IMAGE, task=name).numpy().tobytes() for name in net.tasks}


def test_earlier_outputs_are_bit_equal_after_adding_and_removing(
    bundle: Path, make_delta: MakeDelta, records: Records
) -> None:
    net = load(bundle)
    before = outputs(bundle)
    add_task(bundle, "clean", records["clean"], make_delta(net, "decoder", 3, 9), shared=arrays_of(net.state.shared))
    add_task(
        bundle, "colour-2", records["colour"], make_delta(net, "piggyback", 2, 8), shared=arrays_of(net.state.shared)
    )
    after = outputs(bundle)
    assert list(after) == ["shapes", "colour", "clean", "colour-2"]
    assert {name: after[name] for name in before} == before
    remove_task(bundle, "shapes")
    remove_task(bundle, "clean")
    last = outputs(bundle)
    assert list(last) == ["colour", "colour-2"]
    assert last == {name: after[name] for name in last}
    assert verify(bundle).findings == ()


def test_open_reader_keeps_its_tasks_while_others_come_and_go(
    bundle: Path, make_delta: MakeDelta, records: Records
) -> None:
    net = load(bundle)
    before = outputs(bundle)
    remove_task(bundle, "shapes")
    add_task(bundle, "x", records["clean"], make_delta(net, "decoder", 3, 9), shared=arrays_of(net.state.shared))
    assert net(IMAGE, task="colour").numpy().tobytes() == before["colour"]
    removed = r"tasks/shapes/task.json: the task was removed since the bundle was opened.*Load the bundle again\."
    for read in (lambda: net.deltas["shapes"], lambda: net.records["shapes"], lambda: net.tasks):
        with pytest.raises(BundleError, match=removed):
            read()


def test_what_was_read_before_a_task_was_removed_stays(bundle: Path) -> None:
    net = load(bundle)
    record, delta = net.records["shapes"], net.deltas["shapes"]
    remove_task(bundle, "shapes")
    assert net.tasks == ("shapes", "colour")
    assert net.records["shapes"] is record
    assert net.deltas["shapes"] is delta


def test_reader_of_a_replaced_task_gets_the_new_one(bundle: Path, make_delta: MakeDelta, records: Records) -> None:
    net = load(bundle)
    anew = make_delta(net, "piggyback", 2, 77)
    replace_task(bundle, "colour", records["colour"], anew, shared=arrays_of(net.state.shared))
    assert net.deltas["colour"].masks == anew.masks
    assert load(bundle).deltas["colour"].masks == anew.masks
    assert load(bundle).tasks == ("shapes", "colour")
    assert len(list(bundle.glob("tasks/colour/delta-*"))) == 1
    assert verify(bundle).findings == ()


def test_reader_does_not_take_another_task_for_its_own(bundle: Path, make_delta: MakeDelta, records: Records) -> None:
    net = load(bundle)
    assert net.records["colour"] == records["colour"]
    other = make_delta(net, "decoder", 3, 5)
    replace_task(bundle, "colour", records["clean"], other, shared=arrays_of(net.state.shared))
    with pytest.raises(BundleError, match=r"another task took this name.*colorization.*restoration.*Load the bundle"):
        net.deltas["colour"]


def test_reader_that_had_read_nothing_of_a_task_gets_the_new_one_whole(
    bundle: Path, make_delta: MakeDelta, records: Records, as_bytes: Callable[..., object]
) -> None:
    net = load(bundle)
    other = make_delta(net, "decoder", 3, 5)
    replace_task(bundle, "colour", records["clean"], other, shared=arrays_of(net.state.shared))
    assert net.records["colour"] == records["clean"]
    assert as_bytes(net.state.weights("colour")) == as_bytes(task_weights(other, net.state.shared))


def test_reader_does_not_take_a_task_of_another_place_for_the_one_it_listed(
    bundle: Path, make_delta: MakeDelta, records: Records
) -> None:
    net = load(bundle)
    assert net.tasks == ("shapes", "colour")
    remove_task(bundle, "colour")
    delta = make_delta(net, "decoder", 3, 5)
    add_task(bundle, "colour", records["clean"], delta, shared=arrays_of(net.state.shared), order=7)
    message = r"another task took this name since it was listed. Expected one with `order` 1, but got 7. Load the"
    with pytest.raises(BundleError, match=message):
        net.records["colour"]


def test_replacing_by_the_same_changes_nothing(bundle: Path, file_bytes: FileBytes, records: Records) -> None:
    before, net = file_bytes(bundle), load(bundle)
    replace_task(bundle, "colour", records["colour"], net.deltas["colour"], shared=arrays_of(net.state.shared))
    assert file_bytes(bundle) == before


def test_a_task_over_other_weights_is_refused(
    bundle: Path, make_net: MakeNet, make_delta: MakeDelta, records: Records, file_bytes: FileBytes
) -> None:
    before, moved = file_bytes(bundle), make_net(seed=1)
    delta = make_delta(moved, "piggyback", 2, 0)
    for change in (add_task, replace_task):
        with pytest.raises(
            BundleError, match=r"model.safetensors: not the backbone that this task was learned over"
        ) as e:
            change(bundle, "colour", records["colour"], delta, shared=arrays_of(moved.state.shared))
        assert "save the network to another folder" in e.value.remedy
    assert file_bytes(bundle) == before


def test_wrong_names_are_refused(bundle: Path, make_delta: MakeDelta, records: Records, file_bytes: FileBytes) -> None:
    before, net = file_bytes(bundle), load(bundle)
    delta, record, shared = make_delta(net, "piggyback", 2, 0), records["colour"], net.state.shared
    with pytest.raises(BundleError, match=r"tasks/colour: the name is taken.*but got a task of that name"):
        add_task(bundle, "colour", record, delta, shared=arrays_of(shared))
    for change in (add_task, replace_task):
        with pytest.raises(BundleError, match="not a task name"):
            change(bundle, "../x", record, delta, shared=arrays_of(shared))
    with pytest.raises(BundleError, match=r"tasks/x: no such task. Expected a task to replace, but got none"):
        replace_task(bundle, "x", record, delta, shared=arrays_of(shared))
    with pytest.raises(BundleError, match=r"tasks/x: no such task. Expected a task's folder, but got none"):
        remove_task(bundle, "x")
    with pytest.raises(BundleError, match="not a task name"):
        remove_task(bundle, "..")
    assert file_bytes(bundle) == before


def test_a_delta_that_does_not_fit_is_refused(
    bundle: Path, make_delta: MakeDelta, records: Records, file_bytes: FileBytes
) -> None:
    before, net = file_bytes(bundle), load(bundle)
    good = make_delta(net, "piggyback", 2, 0).entries
    wrong: dict[str, TaskDelta] = {
        "this backbone lacks": TaskDelta({**good, "conv0.weight": Replace(array_of(torch.zeros(1)))}),
        "to have the shape": TaskDelta({**good, "conv1_1.weight": Select(BitMask.pack(torch.ones(7) > 0))}),
        "whole head": TaskDelta({"head.bias": good["head.bias"]}),
        "float64": TaskDelta({**good, "head.bias": Replace(array_of(torch.zeros(2, dtype=torch.float64)))}),
        "2 output channels of the record": make_delta(net, "piggyback", 3, 0),
    }
    for message, delta in wrong.items():
        with pytest.raises(DeltaError, match=message):
            add_task(bundle, "x", records["colour"], delta, shared=arrays_of(net.state.shared))
    assert file_bytes(bundle) == before


def test_records_that_are_not_json_are_refused(bundle: Path, make_delta: MakeDelta, records: Records) -> None:
    net = load(bundle)
    record = replace(records["colour"], recipe={"lr": float("nan")})
    with pytest.raises(BundleError, match=r"tasks/x/task.json: `recipe.lr` cannot be written as JSON.*nan"):
        add_task(bundle, "x", record, make_delta(net, "piggyback", 2, 0), shared=arrays_of(net.state.shared))
    assert not (bundle / "tasks/x").exists()


def test_saving_over_a_bundle_adds_what_it_lacks(bundle: Path, make_net: MakeNet, file_bytes: FileBytes) -> None:
    before = file_bytes(bundle)
    net = make_net("shapes", "colour", "clean")
    save(net, bundle)
    after = file_bytes(bundle)
    del before["README.md"]
    assert {name: after[name] for name in before} == before
    assert load(bundle).tasks == ("shapes", "colour", "clean")


def test_saving_fewer_tasks_removes_none(bundle: Path, make_net: MakeNet, file_bytes: FileBytes) -> None:
    before = file_bytes(bundle)
    save(make_net("shapes"), bundle)
    assert file_bytes(bundle) == before


def test_saving_after_learning_from_a_loaded_net(
    bundle: Path, make_delta: MakeDelta, records: Records, tmp_path: Path
) -> None:
    net = load(bundle)
    state = net.state.add("clean", make_delta(net, "decoder", 3, 1))
    learned = net.with_state(state, {**net.records, "clean": records["clean"]})
    save(learned, bundle)
    save(learned, tmp_path / "copy")
    assert outputs(bundle) == outputs(tmp_path / "copy")


def test_saving_another_backbone_over_a_bundle_is_refused(
    bundle: Path, make_net: MakeNet, file_bytes: FileBytes
) -> None:
    before = file_bytes(bundle)
    with pytest.raises(BundleError, match=r"another backbone is saved here.*Save to another folder"):
        save(make_net("shapes", "colour", seed=1), bundle)
    with pytest.raises(BundleError, match=r"another backbone is saved here"):
        save(make_net("shapes", width=3), bundle)
    assert file_bytes(bundle) == before


def test_saving_the_same_weights_with_another_decoder_is_refused(bundle: Path) -> None:
    net = MultiTaskNet(load(bundle).backbone, decoder=("up9", "conv9"))
    with pytest.raises(BundleError, match="another architecture, head or decoder"):
        save(net, bundle)


def test_saving_what_differs_is_refused_before_anything_is_written(
    bundle: Path, make_net: MakeNet, make_delta: MakeDelta, records: Records, file_bytes: FileBytes
) -> None:
    before = file_bytes(bundle)
    net = make_net("colour", "clean")  # colour is drawn from another seed in first place; clean is new
    with pytest.raises(BundleError, match=r"tasks/colour/task.json: another task of this name.*another delta\. Save"):
        save(net, bundle)
    net = make_net("shapes", "colour", "clean")
    measured = replace(records["colour"], metrics={"MSE": 1.0}, recipe={"steps": 6})
    with pytest.raises(BundleError, match=r"one with another recipe, metrics\."):
        save(net.with_state(net.state, {**net.records, "colour": measured}), bundle)
    state = net.state.add("Bad", make_delta(net, "piggyback", 2, 0))
    with pytest.raises(BundleError, match="not a task name"):
        save(net.with_state(state, {**net.records, "Bad": records["colour"]}), bundle)
    with pytest.raises(BundleError, match=r"tasks/clean: a task without a record"):
        save(net.with_state(net.state, {name: net.records[name] for name in ("shapes", "colour")}), bundle)
    wide = replace(records["clean"], channels=4)
    with pytest.raises(DeltaError, match="4 output channels of the record"):
        save(net.with_state(net.state, {**net.records, "clean": wide}), bundle)
    assert file_bytes(bundle) == before


def test_a_bundle_takes_no_place_that_is_taken(tmp_path: Path, make_net: MakeNet) -> None:
    net = make_net("shapes")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/photo.jpg").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(
        BundleError, match=r"no place for a bundle.*but got a folder with photo.jpg. Use another folder"
    ):
        save(net, tmp_path / "full")
    with pytest.raises(BundleError, match=r"no place for a bundle.*but got a file"):
        save(net, tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_a_bundle_takes_an_empty_folder_or_makes_one(tmp_path: Path, make_net: MakeNet) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "new/deep/er"):
        save(make_net("shapes"), tmp_path / place)
        assert load(tmp_path / place).tasks == ("shapes",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]


def test_a_network_without_tasks_is_a_bundle_too(tmp_path: Path, make_net: MakeNet) -> None:
    save(make_net(), tmp_path / "b")
    assert load(tmp_path / "b").tasks == ()
    assert verify(tmp_path / "b").ok


def test_folders_of_others_are_left_alone(bundle: Path, make_delta: MakeDelta, records: Records) -> None:
    (bundle / "tasks/notes").mkdir()
    (bundle / "tasks/notes/todo.txt").write_text("x")
    net = load(bundle)
    assert net.tasks == ("shapes", "colour")
    with pytest.raises(BundleError, match=r"the name is taken.*a folder without task.json, which is no task"):
        add_task(
            bundle, "notes", records["colour"], make_delta(net, "piggyback", 2, 0), shared=arrays_of(net.state.shared)
        )
    assert (bundle / "tasks/notes/todo.txt").read_text() == "x"


def test_a_damaged_task_can_be_removed(bundle: Path, make_delta: MakeDelta) -> None:
    (bundle / "tasks/colour/task.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        load(bundle).records["colour"]
    remove_task(bundle, "colour")
    assert load(bundle).tasks == ("shapes",)


def test_one_damaged_task_does_not_keep_another_from_being_removed(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (bundle / "tasks/colour/task.json").write_text("{")
    remove_task(bundle, "shapes")
    assert "README.md of the bundle was not updated" in caplog.text
    assert "tasks/colour/task.json: not valid JSON" in caplog.text
    assert not (bundle / "tasks/shapes").exists()


def test_a_link_is_not_removed_with_what_it_leads_to(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "tasks", tmp_path / "elsewhere")
    (bundle / "tasks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"a link. Expected a task's folder, but got a link to .*elsewhere/colour"):
        remove_task(bundle, "colour")
    assert (tmp_path / "elsewhere/colour/task.json").exists()
