"""Every shipped config on replicas of its data: it is planned whole, and trains a few steps of every task."""

import math
from collections import Counter
from pathlib import Path

import pytest

from stencilnet.bundle import read_records, sample, verify
from stencilnet.config.reading import ConfigError, read_config, to_plain
from stencilnet.config.schema import Experiment
from stencilnet.config.shipped import shipped
from stencilnet.data.official.names import COCO_CLASSES, VOC_CLASSES
from stencilnet.datasets.fetching.catalog import CATALOG
from stencilnet.datasets.fetching.listing import make_named
from stencilnet.experiment.forecast import forecast
from stencilnet.experiment.planning import describe
from stencilnet.experiment.reporting import write_report
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session, check_devices
from stencilnet.learning.checking import check_paths
from stencilnet.training.distributed import Group

QUICK = ("trainer.device=cpu", "trainer.precision=float32", "trainer.workers=0", "trainer.samples=1", "pictures=1")
PICTURES = [name for name in shipped() if name != "paper/figure14"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a replica of every data set but COCO 2014, which no config reads."""
    path = tmp_path_factory.mktemp("data")
    for name in CATALOG:
        if name != "coco2014":
            make_named(name, path)
    return path


def small(name: str, *overrides: str) -> Experiment:
    """A shipped config with its own tasks, data and methods, at a size for tests."""
    each = [f"tasks.{plan.name}" for plan in read_config(name).tasks]
    sized = [
        *(f"{task}.view.crop=32" for task in each),
        *(f"{task}.recipe.steps=2" for task in each),
        *(f"{task}.recipe.batch=2" for task in each),
    ]
    return read_config(name, [*QUICK, *sized, *overrides])


def small_unet(name: str) -> Experiment:
    return small(name, "backbone.width=2", "perceptual.source=standin", "perceptual.weights=cache")


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_it_is_planned_whole(name: str, root: Path) -> None:
    experiment = small_unet(name)
    check_paths(name, experiment, root)
    methods = [plan.method.name for plan in experiment.methods]
    found = forecast(experiment, root, methods=methods)
    wanted = {("backbone", experiment.tasks[0].name)}
    wanted |= {(plan.method.name, task) for plan in experiment.methods for task in experiment.learned_by(plan)}
    assert {(row.stage.method, row.stage.task) for row in found.trainings} == wanted
    assert all(row.cost.seconds > 0 and row.cost.peak_bytes > 0 for row in found.trainings)
    text = describe(found)
    assert all(f"{method}/{task}" in text for method, task in wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_it_trains_every_task_on_its_replica(name: str, root: Path, tmp_path: Path) -> None:
    experiment = small_unet(name)
    run = Run(experiment, Session(out=tmp_path / "run", root=root))
    run.learn(experiment.methods[0])
    assert verify(tmp_path / "run" / "bundle").ok
    results = {(result.method, result.task): result for result in run.results()}
    for plan in experiment.tasks:
        method = "backbone" if plan is experiment.tasks[0] else experiment.methods[0].method.name
        assert all(math.isfinite(value) for value in results[method, plan.name].metrics[plan.name].values())
        said = results[method, plan.name].card.data
        assert ("a drawn replica, not the real data" in said) == (not name.startswith(("demo/", "sample", "scenes")))
    page = write_report(run).read_text(encoding="utf-8")
    assert ("Beside the paper" in page) == (experiment.reference == "paper")


@pytest.mark.slow
def test_figure_14_is_planned_with_the_heads_of_its_class_folders(root: Path) -> None:
    experiment = small("paper/figure14", "backbone.init=random", "backbone.weights=null")
    check_paths("paper/figure14", experiment, root)
    first, masks = forecast(experiment, root, methods=["piggyback"], only=["flowers"]).trainings
    assert (first.stage.task, masks.stage.task) == ("cubs-head", "flowers")
    trunk, head = 134_260_544, 2 * (4096 + 1)
    assert (first.sizes.shared, first.sizes.delta) == (4 * trunk, 4 * head)
    biases = 64 * 2 + 128 * 2 + 256 * 3 + 512 * 6 + 4096 * 2
    assert masks.sizes.delta == (trunk - biases) // 8 + 4 * head


@pytest.mark.slow
def test_the_paper_config_trains_by_every_method_on_its_replica(root: Path, tmp_path: Path) -> None:
    experiment = small_unet("paper/compare")
    run = Run(experiment, Session(out=tmp_path / "run", root=root))
    run.compare()
    methods = {"backbone": 1, "piggyback": 5, "scratch": 5, "finetune": 5, "decoder": 5, "trivial": 6}
    assert Counter(result.method for result in run.results()) == methods
    parents = {r.task: r.parent for r in run.results() if r.method == "finetune"}
    assert parents == {"voc": "coco", "colour": "voc", "gogh": "colour", "munch": "colour", "handbags": "munch"}


@pytest.mark.parametrize(("name", "devices"), [("paper/compare", 4), ("photos-full", 4), ("paper/figure14", 8)])
def test_batches_divide_by_the_devices_of_the_docs(name: str, devices: int) -> None:
    check_devices(name, read_config(name), Group(size=devices))
    check_devices("paper/compare", read_config("paper/compare"), Group(size=8), only=["coco"])
    with pytest.raises(ConfigError, match=r"gogh: expected the recipe's `batch` to be divisible"):
        check_devices("paper/compare", read_config("paper/compare"), Group(size=8))


def test_the_paper_config_is_the_papers() -> None:
    experiment = read_config("paper/compare")
    kinds = [to_plain(experiment)["tasks"][place]["task"]["kind"] for place in range(6)]
    assert kinds == ["segmentation", "segmentation", "colorization", "style", "style", "edges2photo"]
    assert experiment.tasks[0].task.classes == COCO_CLASSES  # type: ignore[union-attr]
    assert experiment.tasks[1].task.classes == VOC_CLASSES  # type: ignore[union-attr]
    assert experiment.backbone.width == 64
    assert {plan.view.crop for plan in experiment.tasks} == {256}
    assert [plan.method.name for plan in experiment.methods] == ["piggyback", "scratch", "finetune", "decoder"]
    assert experiment.methods[2].parents == {"munch": "colour"}


def test_the_shipped_bundle_is_what_its_config_trains() -> None:
    records, plans = read_records(sample()), read_config("sample").tasks
    assert set(records) == {plan.name for plan in plans}
    for plan in plans:
        recipe = records[plan.name].recipe
        assert records[plan.name].settings == plan.task.settings()
        assert (recipe["steps"], recipe["batch"], recipe["lr"]) == (
            plan.recipe.steps,
            plan.recipe.batch,
            plan.recipe.lr,
        )
