"""A slider between two styles of a tiny run, learned one from the other."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import stencilnet as sn
from stencilnet.bundle import add_task
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.delta import Entry, Quantized, Replace, TaskDelta
from stencilnet.experiment.blending import Slider, open_run, real_task, worsens, write_blend
from stencilnet.experiment.folder import RunError
from stencilnet.experiment.run import Run
from stencilnet.experiment.session import Session
from stencilnet.masks import array_of, arrays_of, task_weights
from stencilnet.models import load


def config() -> Experiment:
    """Two styles of the tiny demo, the second learned from the first, and a task of another kind."""
    small = [f"tasks.{name}.task.style_size=64" for name in ("swirls", "bands")]
    warm = ["methods.0.method.warm_start=swirls"]
    whole = read_config("demo/tiny", ["trainer.samples=0", "backbone.width=2", *small, *warm])
    named = tuple(whole.plan(name) for name in ("scenes", "swirls", "bands", "colour"))
    return dataclasses.replace(whole, methods=whole.methods[:1], tasks=named)


def opened(folder: Path) -> Run:
    return open_run(folder, Session(out=folder, root=Path()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    Run(config(), Session(out=path, root=Path())).compare()
    return path


@pytest.fixture(scope="module")
def slider(folder: Path) -> Slider:
    return Slider.between(opened(folder), "swirls", "bands")


def test_a_run_folder_holds_each_task_before_its_scores_were_cut(folder: Path) -> None:
    run = opened(folder)
    net = load(folder / "bundle")
    for task in ("colour", "swirls", "bands"):
        weights = task_weights(real_task(run, task).delta(), net.state.shared)
        for name, tensor in net.state.weights(task).items():
            assert torch.equal(weights[name], tensor)


def test_the_ends_of_a_slider_are_what_the_run_measured(folder: Path, slider: Slider) -> None:
    results = {result.task: result for result in opened(folder).results() if result.method == "piggyback"}
    first, last = slider.measure(0.0), slider.measure(1.0)
    assert first.values["swirls"] == pytest.approx(results["swirls"].metrics["swirls"], rel=1e-6)
    assert last.values["bands"] == pytest.approx(results["bands"].metrics["bands"], rel=1e-6)
    assert first.changed == 0
    assert 0 < slider.measure(0.5).changed < last.changed


def test_a_strip_its_losses_and_its_numbers_are_written(slider: Slider, tmp_path: Path) -> None:
    Image.effect_noise((40, 33), 50).convert("RGB").save(tmp_path / "photo.png")
    strip, _, numbers = write_blend(slider, tmp_path / "out", [tmp_path / "photo.png"], steps=3)
    with Image.open(strip) as picture:
        shown = picture.convert("RGB")
    found = json.loads(numbers.read_text())
    assert [position["share"] for position in found["positions"]] == [0.0, 0.5, 1.0]
    assert found["metric"] == "style_loss"
    assert set(found["positions"][1]["values"]) == {"swirls", "bands"}
    assert found["monotone"].keys() == {"swirls", "bands"}
    # one row of four pictures, each enlarged by a whole factor to 160 px: the first style's is the engine's own
    (own,) = slider.pictures(0.0, slider.inputs([tmp_path / "photo.png"]))
    left = 12 + 160 + 8
    drawn = shown.crop((left, 36, left + 160, 36 + 132))
    assert drawn.tobytes() == own.resize((160, 132), Image.Resampling.NEAREST).convert("RGB").tobytes()
    with pytest.raises(ValueError, match="Expected argument `steps` to be at least 2"):
        write_blend(slider, tmp_path / "never", steps=1)


def test_without_photos_the_strip_shows_test_examples(slider: Slider) -> None:
    inputs = slider.inputs([])
    assert [image.shape for image in inputs] == [(3, 32, 32)] * 2
    assert not torch.equal(*inputs)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("swirls", "nobody"), r"learned by piggyback \(swirls, bands, colour\), but got 'nobody'"),
        (("scenes", "swirls"), "but got 'scenes'"),
        (("swirls", "swirls"), "two different tasks to interpolate between, but got 'swirls' twice"),
        (("colour", "swirls"), "two tasks of the same kind, one that outputs pictures, but 'colour' is colorization"),
    ],
)
def test_tasks_that_have_nothing_between_them_are_refused(pair: tuple[str, str], message: str, folder: Path) -> None:
    with pytest.raises(RunError, match=message):
        Slider.between(opened(folder), *pair)


def test_without_its_checkpoint_a_task_has_bits_alone(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    checkpoint = copy / "piggyback" / "bands" / "fit-0" / "checkpoint.pt"
    shutil.copyfile(copy / "piggyback" / "swirls" / "fit-0" / "checkpoint.pt", checkpoint)
    with pytest.raises(RunError, match=r"is of another training of 'bands' than the task in .*bundle"):
        real_task(opened(copy), "bands")
    checkpoint.unlink()
    with pytest.raises(RunError, match=r"the real mask of 'bands' in .* but the file does not exist"):
        real_task(opened(copy), "bands")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Expected a run folder, but .* has no config\.json"):
        opened(tmp_path)


def test_quantised_tasks_are_refused(folder: Path, tmp_path: Path) -> None:
    alone = dataclasses.replace(config(), methods=(MethodPlan(method=sn.QuantizedDelta()),))
    run = Run(alone, Session(out=tmp_path / "quantised", root=Path()))
    with pytest.raises(RunError, match=r"a run with the method piggyback, but .* has none"):
        real_task(run, "bands")
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    net = load(copy / "bundle")
    shared = net.state.shared
    entries: dict[str, Entry] = {
        name: Quantized(np.ones(shared[name].shape, np.int8), np.array(0.01, np.float32)) for name in net.layout.masked
    }
    head = {name: Replace(array_of(tensor)) for name, tensor in net.fresh_head(3, torch.Generator()).items()}
    record = dataclasses.replace(net.records["bands"], method="quantized_delta")
    add_task(copy / "bundle", "moved", record, TaskDelta(entries | head), shared=arrays_of(shared))
    with pytest.raises(RunError, match=r"learned by piggyback \(swirls, bands, colour\), but got 'moved'"):
        Slider.between(opened(copy), "swirls", "moved")


def test_worse_at_every_step() -> None:
    assert worsens([1.0, 2.0, 3.0], higher_is_better=False)
    assert not worsens([1.0, 3.0, 2.0], higher_is_better=False)
    assert not worsens([1.0, 1.0], higher_is_better=True)
    assert worsens([3.0, 2.0], higher_is_better=True)
