"""The plan before a run: complete, its sizes exact but for how masks are coded, and nothing is written for it."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest
import torch

from stencilnet.bundle.tensors import decode_delta, encode_delta
from stencilnet.config.downloads import without_downloads
from stencilnet.config.reading import ConfigError, read_config
from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.experiment.forecast import Forecast, forecast
from stencilnet.experiment.planning import as_plain, describe
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.learning.checking import check_paths
from stencilnet.methods import Piggyback, QuantizedDelta

from ..command_line import Stencil

METHODS = ("piggyback", "scratch", "finetune", "decoder")
ROOT = Path()


def tiny(*tasks: str) -> Experiment:
    whole = read_config("demo/tiny")
    kept = tuple(plan for plan in whole.tasks if not tasks or plan.name in tasks)
    methods = tuple(dataclasses.replace(plan, tasks=()) for plan in whole.methods)
    return dataclasses.replace(whole, tasks=kept, methods=methods)


@pytest.fixture(scope="module")
def three() -> Forecast:
    return forecast(tiny("scenes", "things", "colour"), ROOT, methods=METHODS, say=lambda _: None)


def weights_on_disk(folder: Path) -> int:
    """Bytes of all weight files of a run's bundles, were their masks at one bit a weight; they are no larger."""
    models, deltas = list(folder.rglob("model.safetensors")), list(folder.rglob("delta-*.safetensors"))
    assert models
    assert all(path.stat().st_size <= uncoded(path) for path in deltas)
    return sum(path.stat().st_size for path in models) + sum(map(uncoded, deltas))


def uncoded(file: Path) -> int:
    return len(encode_delta(decode_delta(file.read_bytes(), file), raw=True))


def test_every_training_of_the_protocol_is_there(three: Forecast) -> None:
    stages = [(row.stage.method, row.stage.task, row.stage.parent) for row in three.trainings]
    assert stages == [
        ("backbone", "scenes", None),
        *((method, task, "scenes") for method in ("piggyback", "scratch") for task in ("things", "colour")),
        ("finetune", "things", "scenes"),
        ("finetune", "colour", "things"),
        *(("decoder", task, "scenes") for task in ("things", "colour")),
    ]
    assert three.data == {name: {"train": 16, "validation": 4, "test": 4} for name in ("scenes", "things", "colour")}
    for row in three.trainings:
        assert row.seconds > row.training > 0
        assert row.cost.peak_bytes > row.sizes.shared


def test_sizes_are_those_of_what_a_run_writes(tmp_path: Path, three: Forecast) -> None:
    run = Run(tiny("scenes", "things", "colour"), Session(out=tmp_path / "run", root=ROOT))
    run.compare()
    written = {(result.method, result.task): result for result in run.results() if result.method != "trivial"}
    assert {(row.stage.method, row.stage.task): row.sizes for row in three.trainings} == {
        key: result.sizes for key, result in written.items()
    }
    assert sum(row.stored for row in three.trainings) == weights_on_disk(tmp_path / "run")
    model = run.folder.backbone / "model.safetensors"
    deltas = {path.parent.name: uncoded(path) for path in (tmp_path / "run/bundle").rglob("delta-*.safetensors")}
    first, second, third = three.of("piggyback")
    assert first.stored == model.stat().st_size + deltas["scenes"]
    assert second.stored == first.stored + deltas["things"]
    assert third.stored == deltas["colour"]


def test_a_quantised_delta_is_expected_at_its_target() -> None:
    methods = tuple(MethodPlan(name=method.name, method=method) for method in (Piggyback(), QuantizedDelta()))
    experiment = dataclasses.replace(tiny("scenes", "things"), methods=methods)
    plan = forecast(experiment, ROOT, methods=[each.name for each in methods], say=lambda _: None)
    first, masks, codes = plan.trainings
    weights = 8 * (masks.sizes.delta - first.sizes.delta)  # a mask takes one bit a weight
    assert 8 * (codes.sizes.delta - first.sizes.delta) == pytest.approx(QuantizedDelta().target * weights, rel=0.2)
    assert codes.stored > codes.sizes.delta


def test_a_part_of_the_tasks_is_a_part_of_the_plan(tmp_path: Path) -> None:
    experiment = tiny("scenes", "things", "colour")
    said: list[str] = []
    plan = forecast(experiment, ROOT, methods=("piggyback",), only=("colour",), say=said.append)
    assert [(row.stage.method, row.stage.task) for row in plan.trainings] == [
        ("backbone", "scenes"),
        ("piggyback", "colour"),
    ]
    assert said == ["measuring backbone/scenes", "measuring piggyback/colour"]
    run = Run(experiment, Session(out=tmp_path / "run", root=ROOT, only=("colour",)))
    run.learn(experiment.methods[0])
    assert sum(row.stored for row in plan.trainings) == weights_on_disk(tmp_path / "run")


def test_equal_trainings_are_measured_once_and_nothing_is_said_of_untrained_masks(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    state = torch.get_rng_state()
    with caplog.at_level(logging.WARNING):
        plan = forecast(tiny("scenes", "swirls"), ROOT, methods=METHODS, say=said.append)
    assert said == [
        "measuring backbone/scenes",
        *(f"measuring {m}/swirls" for m in ("piggyback", "scratch", "decoder")),
    ]
    assert caplog.records == []
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert len(plan.notes) == 2
    assert "the test part holds no labelled pixels of class `fence`" in plan.notes[0]
    assert "with random filters" in plan.notes[1]
    scratch, finetune = plan.of("scratch")[1], plan.of("finetune")[1]
    assert scratch.cost == finetune.cost
    assert scratch.sizes.delta > 100 * finetune.sizes.delta


def test_devices_share_the_batches() -> None:
    plan = forecast(tiny("scenes"), ROOT, methods=(), devices=2, say=lambda _: None)
    (row,) = plan.trainings
    assert (row.batch, row.cost.images) == (4, 2)
    assert "its share of batches that 2 devices divide" in describe(plan)


def test_more_steps_and_workers_are_reckoned_with() -> None:
    experiment = tiny("scenes")
    plan = experiment.tasks[0]
    longer = dataclasses.replace(
        experiment,
        tasks=(dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, steps=12_000)),),
        trainer=dataclasses.replace(experiment.trainer, workers=3),
    )
    (row,) = forecast(longer, ROOT, methods=(), say=lambda _: None).trainings
    images, cost = 12_000 * 4, row.cost
    loading = (16 * cost.loading + (images - 16) * cost.augmenting) / 3  # 16 scenes fit into memory
    assert row.training == pytest.approx(max(12_000 * cost.seconds, loading))
    evaluations = 12_000 / 6
    assert row.checking >= evaluations * 4 * cost.scoring


def test_whole_test_images_cost_as_many_pixels_as_they_have() -> None:
    plan = tiny("scenes", "colour").tasks[1]
    source = dataclasses.replace(plan.data.test, size=96, count=400)
    views = {test: dataclasses.replace(plan.view, test=test) for test in ("crop", "whole")}
    data = dataclasses.replace(plan.data, test=source)
    checks = {}
    for test, view in views.items():
        plans = (tiny("scenes").tasks[0], dataclasses.replace(plan, data=data, view=view))
        experiment = dataclasses.replace(tiny("scenes", "colour"), tasks=plans)
        row = forecast(experiment, ROOT, methods=("piggyback",), say=lambda _: None).trainings[1]
        checks[test] = (row.checking / 400, row.cost)
    for test, area in (("crop", 1), ("whole", 9)):
        seconds, cost = checks[test]
        assert seconds == pytest.approx(area * (cost.scoring + cost.loading), rel=0.1)


def test_the_text_names_every_training_and_the_machine(three: Forecast) -> None:
    text = describe(three)
    for row in three.trainings:
        assert f"{row.stage.method}/{row.stage.task}" in text
    assert "U-Net of width 4, seed 0" in text
    assert "total: 9 trainings; " in text
    assert "12 x 4  32 px" in text
    assert "Measured on one device: cpu, float32, " in text
    assert "~ Memory is estimated" in text
    assert "3 snapshots" in text
    assert max(map(len, text.splitlines())) < 200


def test_the_paper_s_sizes_at_width_64() -> None:
    experiment = dataclasses.replace(tiny("scenes", "colour"), backbone=read_config("photos").backbone)
    experiment = dataclasses.replace(
        experiment,
        tasks=tuple(
            dataclasses.replace(
                plan,
                view=dataclasses.replace(plan.view, crop=16),
                recipe=dataclasses.replace(plan.recipe, batch=1),
            )
            for plan in experiment.tasks
        ),
        backbone=dataclasses.replace(experiment.backbone, width=64),
    )
    plan = forecast(experiment, ROOT, methods=METHODS, say=lambda _: None)
    mib = {row.stage.method: row.sizes.delta / 2**20 for row in plan.trainings[1:]}
    # The paper, Table 2, in MB of 2^20 bytes; its decoder and mask come with a head.
    assert mib["scratch"] == pytest.approx(56.4, abs=0.05)
    assert mib["decoder"] == pytest.approx(20.5, abs=0.05)
    assert mib["piggyback"] == pytest.approx(1.8, abs=0.05)


def test_json_is_one_object_and_words_are_checked(stencil: Stencil, tmp_path: Path) -> None:
    done = stencil("train", "demo/tiny", "--dry-run", "--json", "--only", "things", cwd=tmp_path)
    plan = json.loads(done.stdout)
    assert [(row["method"], row["task"]) for row in plan["trainings"]] == [
        ("backbone", "scenes"),
        ("piggyback", "things"),
    ]
    assert "measuring piggyback/things" in done.stderr
    assert plan["methods"]["piggyback"]["model_size"] == sum(
        plan["methods"]["piggyback"][k] for k in ("shared", "deltas")
    )
    assert plan["seconds"] == pytest.approx(sum(row["seconds"] for row in plan["trainings"]))
    assert list(tmp_path.iterdir()) == []
    refused = stencil("train", "demo/tiny", "--json", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--json requires --dry-run" in refused.stderr


def test_json_has_what_the_text_has(three: Forecast) -> None:
    plan = json.loads(json.dumps(as_plain(three)))
    assert len(plan["trainings"]) == 9
    assert plan["methods"]["finetune"].keys() == {"model_size", "snapshots"}
    assert plan["stored"] == sum(row.stored for row in three.trainings)


def test_a_plan_needs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))  # an empty cache
    looking = ["perceptual.source=vgg", "perceptual.weights=download"]
    starting = ["backbone.width=64", "backbone.init=vgg13", "backbone.weights=download"]
    experiment = read_config("demo/tiny", [*looking, *starting])
    check_paths("a config", experiment, ROOT, fetch=False)
    measured, notes = without_downloads(experiment)
    assert (measured.perceptual.source, measured.backbone.init) == ("standin", "random")
    assert ["VGG16" in notes[0], "VGG13" in notes[1]] == [True, True]
    assert without_downloads(measured) == (measured, ())
    seen = dataclasses.replace(experiment.perceptual, weights="mine.pth")
    file = dataclasses.replace(experiment, perceptual=seen)
    with pytest.raises(ConfigError, match=r"perceptual.weights: Expected the weights of VGG16 at mine.pth"):
        check_paths("a config", file, ROOT, fetch=False)


def test_a_warm_start_is_planned_without_training_it() -> None:
    experiment = tiny("scenes", "things", "colour")
    plan = dataclasses.replace(experiment.methods[0], method=Piggyback(lr=1e-2, warm_start="things"))
    warm = dataclasses.replace(experiment, methods=(plan,))
    for only, tasks in (((), ["things", "colour"]), (("colour",), ["colour"])):
        found = forecast(warm, ROOT, methods=("piggyback",), only=only, say=lambda _: None)
        assert [row.stage.task for row in found.of("piggyback") if row.stage.method == "piggyback"] == tasks
