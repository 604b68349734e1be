"""Runs by the methods that go on training the shared weights: chains, what they remember, and going on with them."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import stencilnet as sn
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.tables import table2
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.forecast import Forecast, forecast
from stencilnet.experiment.planning import as_plain
from stencilnet.experiment.reporting import material, write_report
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.methods import AnyMethod
from stencilnet.scenes import Scenes
from stencilnet.training.fit import Interrupted

from .test_run import by_stage, start, tree

METHODS: tuple[AnyMethod, ...] = (sn.EWC(strength=3.0, samples=4), sn.PackNet(), sn.Rehearsal(strength=3.0))
TASKS = ("scenes", "things", "colour")


def chained(*methods: AnyMethod) -> Experiment:
    whole = read_config("demo/tiny", ["backbone.width=2"])
    plans = tuple(MethodPlan(method=method) for method in methods)
    return dataclasses.replace(whole, methods=plans, tasks=whole.tasks[:3])


def interrupted(folder: Path, experiment: Experiment) -> tuple[Run, int]:
    """A run that was stopped every few steps and gone on with until it was done, and how often it was stopped."""
    for stopped in range(40):
        run = start(folder, experiment, resume=stopped > 0, steps=9)
        try:
            run.compare()
        except Interrupted:
            continue
        return run, stopped
    raise AssertionError("the run never ends")


def tensor_files(run: Run) -> dict[str, str]:
    return {path: digest for path, digest in tree(run.folder.path).items() if path.endswith(".safetensors")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = start(tmp_path_factory.mktemp("run"), chained(*METHODS))
    run.compare()
    return run


@pytest.fixture(scope="module")
def planned() -> Forecast:
    names = [method.name for method in METHODS]
    return forecast(chained(*METHODS), Path(), methods=names, say=lambda _: None)


def test_every_stage_of_every_chain_is_tested_on_all_its_tasks(finished: Run) -> None:
    results = by_stage(finished)
    for method in METHODS:
        for position, task in enumerate(TASKS[1:], start=1):
            result = results[method.name, task]
            assert result.moves_shared
            assert tuple(result.metrics) == TASKS[: position + 1]


def test_packnet_has_a_first_task_of_its_own_and_never_forgets(finished: Run) -> None:
    results = by_stage(finished)
    own = results["packnet", "scenes"]
    assert own.parent == "scenes"
    assert own.digests["scenes"] != results["backbone", "scenes"].digests["scenes"]
    assert own.zero_ratio == pytest.approx(0.5, abs=0.01)
    assert results["packnet", "things"].digests["scenes"] == own.digests["scenes"]
    last = results["packnet", "colour"]
    assert last.digests["scenes"] == own.digests["scenes"]
    assert last.digests["things"] == results["packnet", "things"].digests["things"]
    assert last.metrics["scenes"] == own.metrics["scenes"]
    assert results["ewc", "colour"].digests["scenes"] != results["backbone", "scenes"].digests["scenes"]
    assert ("ewc", "scenes") not in results
    matrix = Comparison.of(results.values()).matrix("packnet")
    assert matrix.retests().changed == 0 < matrix.retests().count
    shared, deltas = last.sizes.shared, sum(results["packnet", task].sizes.delta for task in TASKS)
    (sizes,) = [row for row in table2(Comparison.of(results.values())).rows if row[0].text == "Model size"]
    assert sizes[3].value == (shared + deltas) / 2**20


def test_the_bundle_of_a_chain_runs_every_task(finished: Run) -> None:
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for method in METHODS:
        net = sn.load(finished.folder.stage(method.name, "colour") / "bundle")
        assert [net(x, task=task).shape[1] for task in TASKS] == [16, 7, 2]
        assert net.memory == {}


def test_the_plan_is_what_is_done(finished: Run, planned: Forecast) -> None:
    """Stages, sizes and bytes on disk; what a method remembers is not among them."""
    done = {stage: result for stage, result in by_stage(finished).items() if stage[0] != "trivial"}
    assert {(row.stage.method, row.stage.task): row.sizes for row in planned.trainings} == {
        stage: result.sizes for stage, result in done.items()
    }
    kept = as_plain(planned)["methods"]
    table = table2(Comparison.of(finished.results()))
    (sizes,) = [row for row in table.rows if row[0].text == "Model size"]
    for method in METHODS:
        cell = sizes[2 + [m.name for m in METHODS].index(method.name)]
        assert cell.value is not None
        assert cell.value * 2**20 == kept[method.name]["model_size"]


def test_interrupted_and_resumed_is_the_same_bytes(finished: Run, tmp_path: Path) -> None:
    run, stopped = interrupted(tmp_path / "run", finished.experiment)
    assert stopped > 3
    assert {s: r.digests for s, r in by_stage(run).items()} == {s: r.digests for s, r in by_stage(finished).items()}
    assert tensor_files(run) == tensor_files(finished)


def test_only_some_tasks_of_a_chain(finished: Run, tmp_path: Path) -> None:
    """What a method does with the first task comes with the first of the others, and with none it does not."""
    shutil.copytree(finished.folder.path, tmp_path / "run")
    for method in METHODS:
        shutil.rmtree(tmp_path / "run" / method.name)
    for only, expected in (("scenes", 0), ("things", 4)):
        session = Session(out=tmp_path / "run", root=Path(), resume=True, only=(only,))
        Run(finished.experiment, session).compare()
        done = by_stage(start(tmp_path / "run", finished.experiment, resume=True))
        assert len([stage for stage in done if stage[0] not in ("backbone", "trivial")]) == expected


def test_what_was_remembered_is_missed(finished: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder.path, folder)
    shutil.rmtree(folder / "ewc" / "colour")
    memory = folder / "ewc" / "things" / "memory.safetensors"
    kept = memory.read_bytes()
    memory.write_bytes(kept[:100])
    with pytest.raises(RunError, match=r"memory\.safetensors is damaged .* Delete its folder"):
        start(folder, finished.experiment, resume=True).compare()
    memory.unlink()
    with pytest.raises(ValueError, match="no Fisher information for scenes, things"):
        start(folder, finished.experiment, resume=True).compare()
    memory.write_bytes(kept)
    run = start(folder, finished.experiment, resume=True)
    run.compare()
    assert by_stage(run)["ewc", "colour"].digests == by_stage(finished)["ewc", "colour"].digests


def test_memory_that_nothing_starts_from_any_more_is_not_measured_again(finished: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder.path, folder)
    memory = folder / "ewc" / "scenes" / "memory.safetensors"
    memory.unlink()
    start(folder, finished.experiment, resume=True).compare()
    assert not memory.exists()


def test_a_report_is_made_of_them(finished: Run) -> None:
    text = write_report(finished).with_name("report.md").read_text()
    assert all(title in text for title in ("EWC", "PackNet", "pseudo-rehearsal"))
    shown = material(finished)
    assert set(shown.curves["scenes"]) == {"backbone", "packnet"}
    packed = shown.curves["things"]["packnet"]
    assert packed.loss[0][-1] == 6  # 4 steps, and 2 after pruning
    assert packed.selected in packed.validation[0]


def splits(space: str = "fine") -> sn.Splits:
    return sn.Splits(
        train=Scenes(count=6, size=32, space=space), validation=Scenes(count=2, size=32, first=100, space=space)
    )


@pytest.mark.parametrize("method", METHODS, ids=[method.name for method in METHODS])
def test_learning_by_hand(method: AnyMethod) -> None:
    coarse = sn.Segmentation(classes=("background", "plant", "building", "vehicle", "person", "animal", "toy"))
    config = sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(steps=4, batch=2, lr=1e-3))
    net = sn.MultiTaskNet(sn.UNet(width=2))
    net = sn.learn(net, coarse, splits("coarse"), name="things", method=method, config=config)
    before = {name: tensor.clone() for name, tensor in net.state.shared.items()}
    net = sn.learn(net, sn.Colorization(), splits(), method=method, config=config)
    net = sn.learn(net, sn.Colorization(), splits(), name="again", method=method, config=config)
    assert net.tasks == ("things", "colorization", "again")
    assert not torch.equal(net.state.shared["conv1_1.weight"], before["conv1_1.weight"])
    assert net.records["again"].method == method.name


@pytest.mark.slow
def test_a_run_by_quantised_deltas_is_reported_by_its_codes(tmp_path: Path) -> None:
    run = start(tmp_path / "run", chained(sn.QuantizedDelta()))
    run.compare()
    results = by_stage(run)
    net = sn.load(run.folder.path / "bundle")
    for task in TASKS[1:]:
        entries = [net.deltas[task].entries[name] for name in net.layout.masked]
        codes = np.concatenate([entry.codes.reshape(-1) for entry in entries])
        assert results["quantized_delta", task].zero_ratio == pytest.approx(float((codes == 0).mean()))
    text = write_report(run).with_name("report.md").read_text(encoding="utf-8")
    assert "## Codes" in text
    assert "| zeros in mask or codes (%) |" in text
    assert "Table 3. Similarity of the codes" in text
    assert (run.folder.path / "figures" / "kappa.svg").exists()
