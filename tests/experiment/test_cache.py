"""A cache of pictures on disk and the number of workers change how fast a run is, and no byte of it."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
from PIL import Image

from stencilnet.config.reading import ConfigError, read_config
from stencilnet.config.schema import Experiment
from stencilnet.data.sources import LabelledSource
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.forecast import forecast
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.scenes import draw_scene


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The tiny demo's scenes as files."""
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(10):
        scene = draw_scene(2, index, 48)
        Image.fromarray(scene.image).save(tmp_path / f"data/images/{index}.jpg")
        Image.fromarray(scene.labels).save(tmp_path / f"data/labels/{index}.png")
    return tmp_path / "data"


def experiment(cache: str | None, workers: int = 0, **trainer: object) -> Experiment:
    whole = read_config("demo/tiny")
    plan = whole.tasks[0]
    source = LabelledSource(images="images", labels="labels")
    data = dataclasses.replace(plan.data, train=source, validation=None, test=source)
    view = dataclasses.replace(plan.view, resize=40)
    return dataclasses.replace(
        whole,
        tasks=(dataclasses.replace(plan, data=data, view=view),),
        methods=whole.methods[:1],
        trainer=dataclasses.replace(whole.trainer, cache=cache, workers=workers, **trainer),
    )


def run(out: Path, root: Path, what: Experiment, *, resume: bool = False) -> str:
    done = Run(what, Session(out=out, root=root, resume=resume))
    done.learn(what.methods[0])
    return hashlib.sha256((done.folder.backbone / "model.safetensors").read_bytes()).hexdigest()


def test_the_same_bytes_with_and_without(root: Path, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", root, experiment(None))
    first = run(tmp_path / "first", root, experiment("kept"))
    assert len(list((root / "kept").rglob("*.example"))) == 10  # training and validation, below the data root
    again = run(tmp_path / "again", root, experiment("kept", workers=1))
    assert plain == first == again


def test_a_run_goes_on_with_another_cache_and_more_workers(root: Path, tmp_path: Path) -> None:
    before = run(tmp_path / "run", root, experiment(None))
    assert run(tmp_path / "run", root, experiment("kept", workers=2), resume=True) == before
    with pytest.raises(RunError, match=r"it differs in trainer\.evaluate_every\. Choose"):
        run(tmp_path / "run", root, experiment("kept", evaluate_every=5), resume=True)


def test_a_plan_is_measured_without_the_cache_and_writes_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))
    kept = forecast(experiment("kept"), root, methods=(), say=lambda _: None)
    assert sorted(root.rglob("*")) == before
    plain = forecast(experiment(None), root, methods=(), say=lambda _: None)
    assert plain.notes == ()
    assert len(kept.notes) == 1
    assert kept.notes[0].startswith("Loading was measured without the cache on disk")


def test_a_cache_has_a_name() -> None:
    assert read_config("demo/tiny", ["trainer.cache=/tmp/kept"]).trainer.cache == "/tmp/kept"
    assert read_config("demo/tiny").trainer.cache is None
    with pytest.raises(ConfigError, match="`cache` to name a folder"):
        read_config("demo/tiny", ["trainer.cache=''"])
    with pytest.raises(ConfigError, match=r"trainer\.cache"):
        read_config("demo/tiny", ["trainer.cache=5"])
