"""A run by progressive networks: a chain over fixed shared weights, in one growing bundle."""

from pathlib import Path

import pytest
import torch

import stencilnet as sn
from stencilnet.cluster.jobs import jobs
from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.tables import table2
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.forecast import forecast
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.experiment.walking import is_chain

from .test_methods_run import TASKS, chained, interrupted, splits, tensor_files
from .test_run import by_stage, start


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = start(tmp_path_factory.mktemp("run"), chained(sn.Progressive()))
    run.compare()
    return run


def test_each_task_runs_through_those_before_it_and_changes_none(finished: Run) -> None:
    net = sn.load(finished.folder.bundle("progressive", "colour", moves_shared=False))
    assert {task: net.deltas[task].needs for task in net.tasks} == {
        "scenes": (),
        "things": ("scenes",),
        "colour": ("scenes", "things"),
    }
    results = by_stage(finished)
    matrix = Comparison.of(results.values()).matrix("progressive")
    assert matrix.retests().changed == 0 < matrix.retests().count
    (sizes,) = [row for row in table2(Comparison.of(results.values())).rows if row[0].text == "Model size"]
    deltas = sum(net.deltas[task].nbytes for task in TASKS)
    assert sizes[2].value == (sum(tensor.nbytes for tensor in net.state.shared.values()) + deltas) / 2**20


def test_the_plan_is_what_is_done(finished: Run) -> None:
    planned = forecast(finished.experiment, Path(), methods=["progressive"], say=lambda _: None)
    assert {(row.stage.method, row.stage.task): row.sizes for row in planned.trainings} == {
        stage: result.sizes for stage, result in by_stage(finished).items() if stage[0] != "trivial"
    }


def test_interrupted_and_resumed_is_the_same_bytes(finished: Run, tmp_path: Path) -> None:
    run, stopped = interrupted(tmp_path / "run", finished.experiment)
    assert stopped > 1
    assert tensor_files(run) == tensor_files(finished)


def test_a_column_before_is_asked_for(finished: Run, tmp_path: Path) -> None:
    run = Run(finished.experiment, Session(out=tmp_path / "run", root=Path(), only=("colour",)))
    with pytest.raises(RunError, match=r"starts 'colour' from 'things', .* Learn it first: --only things\."):
        run.compare()


def test_one_machine_learns_them_all(finished: Run) -> None:
    (plan,) = finished.experiment.methods
    assert is_chain(finished.experiment, plan)
    assert [job.tasks for job in jobs(finished.experiment)] == [("scenes",), ("things", "colour")]


def test_learning_by_hand_into_a_bundle(tmp_path: Path) -> None:
    config = sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(steps=3, batch=2, lr=1e-3))
    net = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), sn.Colorization(), splits(), name="first", config=config)
    for name in ("a", "b"):
        net = sn.learn(net, sn.Colorization(), splits(), name=name, method="progressive", config=config)
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    sn.save(net, tmp_path / "bundle")
    assert torch.equal(sn.load(tmp_path / "bundle")(x, task="b"), net(x, task="b"))
    assert net.deltas["b"].needs == ("first", "a")
