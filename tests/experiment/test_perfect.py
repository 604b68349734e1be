"""A task that its network solves exactly: infinite PSNR in every file, table and figure that a run makes."""

import json
import math
from pathlib import Path

import pytest
import yaml
from PIL import Image

import stencilnet as sn
from stencilnet.config.reading import ConfigError, read_config
from stencilnet.data.sources import PairsSource
from stencilnet.evaluation.results import read_result

from ..command_line import Done, Stencil, command_line

ONE_STEP = {"steps": 1, "batch": 2, "lr": 2.0}
"""White is reached at once: the first step of Adam is `lr` long, and all that is above white is white."""

SEED = 10
"""Of a head whose first outputs are mostly below white, so that its weights grow."""


def strict(text: str) -> object:
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def task(name: str) -> dict[str, object]:
    pairs = {"kind": "pairs", "inputs": "before", "targets": "after"}
    return {
        "name": name,
        "title": name,
        "task": {"kind": "restoration"},
        "data": {"about": "white", "train": pairs, "validation": pairs, "test": pairs},
        "view": {"crop": 32, "test": "crop"},
        "recipe": ONE_STEP,
    }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """White pairs, and a config of three tasks, learned by two methods."""
    folder = tmp_path_factory.mktemp("perfect")
    for half in ("before", "after"):
        (folder / half).mkdir()
        for number in range(2):
            Image.new("RGB", (32, 32), "white").save(folder / half / f"{number}.png")
    config = {
        "title": "Perfect",
        "seed": SEED,
        "backbone": {"width": 2},
        "methods": [{"method": {"kind": kind}} for kind in ("piggyback", "finetune")],
        "tasks": [task("first"), task("second"), task("third")],
    }
    (folder / "my.yaml").write_text(yaml.safe_dump(config))
    return folder


def written(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the config's run."""
    with pytest.MonkeyPatch.context() as patch:
        stencil = command_line(tmp_path_factory.mktemp("streams"), patch)
        written(stencil("compare", "my.yaml", "--out", "run", cwd=desk))
    return desk / "run"


def test_a_perfect_task_is_learned_saved_and_loaded(stencil: Stencil, desk: Path, tmp_path: Path) -> None:
    examples = PairsSource(inputs="before", targets="after").open(desk)
    data = sn.Splits(train=examples, validation=examples)
    config = sn.Learning(view=sn.View(crop=32), recipe=sn.Recipe(**ONE_STEP), seed=SEED, folder=tmp_path / "run")
    net = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), sn.Restoration(), data, name="first", config=config)
    assert net.records["first"].metrics["scores"] == {"MSE": 0.0, "PSNR": math.inf, "SSIM": 1.0}
    (selected,) = (tmp_path / "run").rglob("selected.json")
    assert strict(selected.read_text())["scores"]["PSNR"] == "inf"  # type: ignore[index]
    again = sn.Learning(view=config.view, recipe=config.recipe, seed=SEED, folder=tmp_path / "run", resume=True)
    resumed = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), sn.Restoration(), data, name="first", config=again)
    assert resumed.records["first"].metrics == net.records["first"].metrics
    sn.save(net, tmp_path / "bundle")
    assert sn.load(tmp_path / "bundle").records["first"].metrics == net.records["first"].metrics
    shown = strict(written(stencil("info", tmp_path / "bundle", "--json")))
    assert shown["tasks"]["first"]["metrics"]["scores"]["PSNR"] == "inf"  # type: ignore[index]


def test_a_run_of_perfect_tasks_has_its_report(run: Path) -> None:
    for path in [*run.rglob("*.json"), *run.rglob("metrics.jsonl")]:
        for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            strict(line)
    result = read_result(run / "finetune" / "second" / "result.json")
    assert result.metrics["first"]["PSNR"] == result.metrics["second"]["PSNR"] == math.inf
    assert '"validation/PSNR": "inf"' in next(run.rglob("metrics.jsonl")).read_text()
    page = (run / "report.md").read_text()
    assert "| inf |" in page
    assert "nan" not in page


def test_a_perfect_bundle_is_evaluated_analysed_and_blended(stencil: Stencil, run: Path, tmp_path: Path) -> None:
    desk = run.parent
    found = strict(written(stencil("evaluate", "run/bundle", "my.yaml", "--json", cwd=desk)))
    assert found["second"]["values"]["PSNR"] == found["second"]["trivial_values"]["PSNR"] == "inf"  # type: ignore[index]
    assert " inf " in written(stencil("evaluate", "run/bundle", "my.yaml", cwd=desk))
    written(stencil("analyze", "run/bundle", "-o", tmp_path / "masks", cwd=desk))
    strict((tmp_path / "masks" / "masks.json").read_text())
    written(stencil("blend", "run", "second", "third", "-o", tmp_path / "blend", "--steps", 2, cwd=desk))
    blended = strict((tmp_path / "blend" / "blend.json").read_text())
    assert blended["positions"][0]["values"]["second"]["PSNR"] == "inf"  # type: ignore[index]


def test_a_config_has_finite_numbers(desk: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.0\.recipe\.lr: expected a finite number, but got inf"):
        read_config(str(desk / "my.yaml"), ["tasks.first.recipe.lr=.inf"])
