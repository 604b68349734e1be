"""A method of another package: read from YAML, forecast, trained, in a bundle, run by the engine, in the report."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import stencilnet as sn
from stencilnet.analysis.plots import method_colours
from stencilnet.bundle import verify
from stencilnet.cli.main import stencil
from stencilnet.config.choosing import with_methods
from stencilnet.config.reading import ConfigError, read_config, to_yaml
from stencilnet.experiment.forecast import forecast
from stencilnet.experiment.reporting import write_report
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.methods import registered
from stencilnet.plugins import PluginError

from ..packages.installing import PACKAGES, install_broken, looked_for_anew, write_config


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write_config(
        tmp_path,
        method="{kind: biases, part: decoder}",
        task="name: again, title: Colour again, task: {kind: colorization}, view: {crop: 32, test: crop}, "
        "recipe: {steps: 3, batch: 2}",
    )


@pytest.fixture
def forgotten() -> Iterator[None]:
    with looked_for_anew("stencilnet_biases", registered):
        yield


@pytest.fixture
def installed(forgotten: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is on the path, its metadata beside it."""
    monkeypatch.syspath_prepend(str(PACKAGES / "biases"))


def test_it_trains_from_yaml_lands_in_a_bundle_and_runs(config: str, installed: None, tmp_path: Path) -> None:
    experiment = read_config(config)
    run = Run(experiment, Session(out=tmp_path / "run", root=tmp_path))
    run.compare()
    bundle = tmp_path / "run" / "bundle"
    assert verify(bundle).ok
    net = sn.load(bundle)
    assert (net.records["again"].method, net.records["again"].recipe["method"]) == ("biases", {"part": "decoder"})
    own = {key for key in net.deltas["again"].entries if not key.startswith("head.")}
    assert own == {key for key in net.layout.decoder if key.endswith(".bias")} != set()
    answer = sn.Engine(bundle).run(Image.effect_noise((45, 37), 64).convert("RGB"), task="again")
    assert np.asarray(answer).shape == (37, 45, 3)
    planned = forecast(experiment, tmp_path, methods=["biases"], say=lambda _: None)
    (done,) = [result for result in run.results() if (result.method, result.task) == ("biases", "again")]
    assert planned.trainings[1].sizes == done.sizes
    assert "biases only" in write_report(run).with_name("report.md").read_text()
    assert method_colours(["biases"]) == {"biases": "#123456"}


def test_its_config_is_written_and_read_back(config: str, installed: None, tmp_path: Path) -> None:
    experiment = read_config(config)
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(experiment))
    assert "kind: biases" in again.read_text()
    assert read_config(str(again)) == experiment
    with pytest.raises(ConfigError, match=r"methods.0.method.parts: unknown key. Known here: part"):
        read_config(config, ["methods.0.method.parts=1"])


def test_it_is_named_and_chosen_as_built_in_methods_are(installed: None) -> None:
    text = CliRunner().invoke(stencil, ["compare", "--help"], terminal_width=300, max_content_width=300).output
    assert "rehearsal, biases; `all`" in " ".join(text.split())
    experiment, names = with_methods(read_config("demo/tiny"), ["all"])
    assert names[-1] == experiment.methods[-1].name == "biases"


def test_without_the_package_its_method_is_unknown(config: str, forgotten: None) -> None:
    with pytest.raises(ConfigError, match=r"methods.0.method: expected `kind` to be one of piggyback, .* 'biases'"):
        read_config(config)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("broken = no_such_module:Method", "'broken' .*ModuleNotFoundError: No module named 'no_such_module'"),
        ("piggyback = stencilnet_biases:Biases", "'piggyback' .*this name is built in"),
        ("pictures = stencilnet_biases:Biases", "'pictures' .*this name is built in"),
        ("other = stencilnet_biases:Biases", "'other' .*ValueError: expected its `name` to be 'other'"),
    ],
)
def test_a_broken_package_is_named(
    installed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: str, message: str
) -> None:
    install_broken(tmp_path, "stencilnet.methods", point, monkeypatch)
    with pytest.raises(PluginError, match=f"Package 'stencilnet-broken' registers {message}"):
        registered()
