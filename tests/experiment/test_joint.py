"""Joint training: one training of all tasks, and a result for each."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

import stencilnet as sn
from stencilnet.cluster.jobs import jobs
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.evaluation.matrix import Comparison
from stencilnet.experiment.adding import add_tasks
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.forecast import forecast
from stencilnet.experiment.planning import as_plain
from stencilnet.experiment.reporting import write_report
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.masks import Trainable
from stencilnet.methods import Joint
from stencilnet.models import UNet
from stencilnet.models.unet import DECODER
from stencilnet.training.fit import Interrupted

from .test_run import by_stage, start

TASKS = ("scenes", "colour", "edges")


def experiment(*, first: bool = False) -> Experiment:
    whole = read_config("demo/tiny", ["backbone.width=2"])
    methods = (MethodPlan(method=sn.Joint()), MethodPlan(method=sn.Piggyback(lr=1e-2), tasks=("colour",)))
    tasks = tuple(plan for plan in whole.tasks if plan.name in TASKS)
    return dataclasses.replace(whole, methods=methods if first else methods[::-1], tasks=tasks)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = start(tmp_path_factory.mktemp("run"), experiment())
    run.compare()
    return run


def test_every_task_has_a_result_of_one_network(finished: Run) -> None:
    results = by_stage(finished)
    own = {task: results["joint", task] for task in TASKS}
    assert [tuple(result.metrics) for result in own.values()] == [TASKS[:1], TASKS[:2], TASKS]
    assert own["scenes"].digests["scenes"] == own["edges"].digests["scenes"]
    assert own["scenes"].digests["scenes"] != results["backbone", "scenes"].digests["scenes"]
    assert {(result.parent, result.moves_shared, result.selected_step) for result in own.values()} == {
        (None, False, 12)
    }
    assert Comparison.of(results.values()).matrix("joint").retests().changed == 0
    net = sn.load(finished.folder.path / "joint" / "bundle")
    assert net.tasks == TASKS
    assert all(delta.entries.keys() == {"head.weight", "head.bias"} for delta in net.deltas.values())
    fits = list((finished.folder.path / "joint").rglob("fit-*"))
    assert fits == [finished.folder.stage("joint", "scenes") / "fit-0"]
    assert "joint training" in write_report(finished).with_name("report.md").read_text()


def test_all_tasks_start_at_a_loss_of_one(finished: Run) -> None:
    log = (finished.folder.stage("joint", "scenes") / "fit-0" / "metrics.csv").read_text().splitlines()
    first = {name: float(value) for step, name, value in (line.split(",") for line in log[1:]) if step == "1"}
    for task in TASKS:
        begun = sum(value for name, value in first.items() if name.startswith(f"loss/{task}:"))
        assert begun == pytest.approx(1, abs=0.25), task  # of another batch; an adversary has taken a step


def test_the_plan_is_what_is_done(finished: Run) -> None:
    planned = forecast(finished.experiment, Path(), methods=["joint"], say=lambda _: None)
    results = by_stage(finished)
    for row in planned.of("joint"):
        assert row.sizes == results["joint", row.stage.task].sizes
    assert [row.steps for row in planned.of("joint")] == [12, 0, 0]
    assert sum(row.stored for row in planned.of("joint")) > as_plain(planned)["methods"]["joint"]["model_size"]


def test_interrupted_and_resumed_is_the_same_bytes(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.folder.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "joint")
    with pytest.raises(Interrupted):
        start(tmp_path / "run", finished.experiment, resume=True, steps=7).compare()
    run = start(tmp_path / "run", finished.experiment, resume=True)
    run.compare()
    assert by_stage(run)["joint", "edges"].digests == by_stage(finished)["joint", "edges"].digests


def test_it_may_come_first(tmp_path: Path) -> None:
    run = start(tmp_path / "run", experiment(first=True))
    run.learn(run.experiment.methods[0])
    assert sn.load(tmp_path / "run" / "bundle").tasks == TASKS


def test_it_is_one_job() -> None:
    assert [job.name for job in jobs(experiment())] == ["backbone", "piggyback/colour", "joint"]


def test_heads_are_parted_as_they_were_joined(make_fresh, make_fit) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    backbone = UNet(width=2)
    fresh = {t: make_fresh(backbone, channels=n, seed=n, head="head", decoder=DECODER) for t, n in (("a", 3), ("b", 1))}
    outputs, fit, image = [], make_fit(backbone), torch.rand(1, 3, 32, 32)

    def trained(trainable: Trainable) -> Trainable:
        fit(trainable)
        outputs.append(torch.func.functional_call(backbone, trainable.weights(), (image,)).detach())
        return trainable

    state = Joint().learn_together({task: made.head for task, made in fresh.items()}, fresh["a"], trained)
    for task, expected in zip(("a", "b"), outputs[0].split([3, 1], dim=1), strict=True):
        torch.testing.assert_close(torch.func.functional_call(backbone, state.weights(task), (image,)), expected)


def test_what_joint_training_cannot_do_is_told(finished: Run, tmp_path: Path) -> None:
    net = sn.load(finished.folder.backbone)
    splits = sn.Splits(train=finished.data("colour").train, validation=finished.data("colour").validation)
    with pytest.raises(ValueError, match=r"learns 'colorization' alone, but joint .* Use `stencil compare`"):
        sn.learn(net, sn.Colorization(), splits, method=Joint())
    with pytest.raises(RunError, match="joint learns all tasks at once, from the start, and cannot add tasks"):
        add_tasks(finished.folder.backbone, experiment(first=True), Session(out=tmp_path, root=Path()))
    tasks = list(finished.experiment.tasks)
    tasks[1] = dataclasses.replace(tasks[1], view=dataclasses.replace(tasks[1].view, crop=16))
    with pytest.raises(
        ValueError, match=r"the same `view\.crop` for all tasks of method joint, .* scenes 32, colour 16"
    ):
        dataclasses.replace(finished.experiment, tasks=tuple(tasks))
