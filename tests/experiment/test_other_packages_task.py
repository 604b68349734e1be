"""A task kind of another package: read from YAML, trained, in a bundle, run by the engine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stencilnet as sn
from stencilnet.bundle import verify
from stencilnet.config.reading import ConfigError, read_config, to_yaml
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.kinds.catalog import kind_from_record, kinds
from stencilnet.plugins import PluginError
from stencilnet.tasks.catalog import task_kinds

from ..packages.installing import PACKAGES, install_broken, looked_for_anew, write_config


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write_config(
        tmp_path,
        method="{kind: piggyback, lr: 1.0e-2}",
        task="name: dark, title: Dark negatives, task: {kind: negative, level: 0.25}, "
        "view: {crop: 32, flip: false, test: crop}, recipe: {steps: 3}",
    )


@pytest.fixture
def forgotten() -> Iterator[None]:
    with looked_for_anew("stencilnet_negative", kinds, task_kinds):
        yield


@pytest.fixture
def installed(forgotten: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is on the path, its metadata beside it."""
    monkeypatch.syspath_prepend(str(PACKAGES / "negative"))


def test_it_trains_from_yaml_lands_in_a_bundle_and_runs(config: str, installed: None, tmp_path: Path) -> None:
    run = Run(read_config(config), Session(out=tmp_path / "run", root=tmp_path))
    run.compare()
    (result,) = [result for result in run.results() if (result.method, result.task) == ("piggyback", "dark")]
    assert (result.card.category, result.card.loss) == ("photo to negative", "L1 to the negative")
    bundle = tmp_path / "run" / "bundle"
    assert verify(bundle).ok
    engine = sn.Engine(bundle)
    assert engine.record("dark").kind == "negative"
    assert engine.record("dark").recipe["batch"] == 2  # the kind's own default
    answer = engine.run(Image.effect_noise((45, 37), 64).convert("RGB"), task="dark")
    assert answer.size == (45, 37)
    assert np.asarray(answer).max() <= 64  # by the level, which the bundle keeps


def test_its_config_is_written_and_read_back(config: str, installed: None, tmp_path: Path) -> None:
    experiment = read_config(config)
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(experiment))
    assert "kind: negative" in again.read_text()
    assert read_config(str(again)) == experiment


def test_what_it_declares_holds_as_for_built_in_kinds(config: str, installed: None) -> None:
    damage = ["colour.view.damage={kind: noise}", "dark.view.damage={kind: noise}"]
    with pytest.raises(ConfigError, match="with a task of kind restoration or negative, but got it with colorization"):
        read_config(config, [f"tasks.{item}" for item in damage])
    with pytest.raises(ConfigError, match=r"kind negative: a negative is the wrong way round\."):
        read_config(config, ["tasks.dark.view.flip=true"])
    with pytest.raises(ConfigError, match=r"tasks.1.task.levels: unknown key. Known here: level, weight_of_loss"):
        read_config(config, ["tasks.dark.task.levels=1"])


def test_without_the_package_its_kind_is_unknown(config: str, forgotten: None) -> None:
    with pytest.raises(ConfigError, match=r"tasks.1.task: expected `kind` to be one of segmentation, .* 'negative'"):
        read_config(config)


def test_a_broken_package_is_named_and_does_not_stop_built_in_kinds(
    forgotten: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = sn.Engine(Path(__file__).parents[1] / "bundle" / "golden" / "v1")
    install_broken(tmp_path, "stencilnet.tasks", "broken = no_such_module:Kind", monkeypatch)
    with pytest.raises(PluginError, match=r"Package 'stencilnet-broken' registers 'broken'.*no_such_module"):
        kind_from_record("broken", {})
    assert engine.run(Image.new("RGB", (32, 32)), task="colour").size == (32, 32)
