"""The Python API: learn tasks one by one, use them, save them."""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch

import stencilnet as sn
from stencilnet.bundle import verify
from stencilnet.config.schema import Backbone
from stencilnet.delta.rounding import rounded
from stencilnet.masks import arrays_of, tensor_of
from stencilnet.scenes import Scenes
from stencilnet.training.fit import Interrupted


def splits(space: str = "fine") -> sn.Splits:
    return sn.Splits(
        train=Scenes(count=6, size=32, space=space), validation=Scenes(count=2, size=32, first=100, space=space)
    )


def config(**changes: Any) -> sn.Learning:
    chosen = {"view": sn.View(crop=32), "recipe": sn.Recipe(steps=3, batch=2, lr=1e-3), **changes}
    return sn.Learning(**chosen)


def test_learning_by_hand(tmp_path: Path) -> None:
    coarse = sn.Segmentation(classes=("background", "plant", "building", "vehicle", "person", "animal", "toy"))
    empty = sn.MultiTaskNet(sn.UNet(width=2))
    first = sn.learn(empty, coarse, splits("coarse"), name="things", config=config())
    x = torch.rand(1, 3, 40, 52)
    before = first(x, task="things")
    both = sn.learn(first, sn.Colorization(), splits(), config=config(folder=tmp_path / "work"))
    assert empty.tasks == ()
    assert first.tasks == ("things",)
    assert both.tasks == ("things", "colorization")
    assert torch.equal(both(x, task="things"), before)
    assert both(x, task="colorization").shape == (1, 2, 40, 52)
    assert torch.equal(both.materialize("colorization")(x), both(x, task="colorization"))
    sn.save(both, tmp_path / "bundle")
    assert torch.equal(sn.load(tmp_path / "bundle")(x, task="colorization"), both(x, task="colorization"))
    record = both.records["colorization"]
    assert record.method == "piggyback"
    assert record.metrics["step"] in (1, 2, 3)
    assert record.recipe["steps"] == 3


def test_one_seed_gives_the_same_bytes_whatever_the_global_generator() -> None:
    task = sn.Colorization()
    torch.manual_seed(1)
    one = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), task, splits(), config=config())
    torch.manual_seed(2)
    two = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), task, splits(), config=config())
    other = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), task, splits(), config=config(seed=5))
    weights = one.state.weights("colorization")
    assert all(torch.equal(tensor, two.state.weights("colorization")[name]) for name, tensor in weights.items())
    assert not torch.equal(weights["conv1_1.weight"], other.state.weights("colorization")["conv1_1.weight"])


def learned(net: sn.MultiTaskNet, method: object, folder: Path) -> sn.MultiTaskNet:
    """The net with a task `colorization` learned by a method, through a bundle."""
    both = sn.learn(net, sn.Colorization(), splits(), method=method, config=config())  # type: ignore[arg-type]
    x = torch.rand(1, 3, 40, 52, generator=torch.Generator().manual_seed(0))
    sn.save(both, folder)
    again = sn.load(folder)
    assert torch.equal(both(x, task="first"), net(x, task="first"))
    assert torch.equal(again(x, task="colorization"), both(x, task="colorization"))
    assert torch.equal(again.materialize("colorization")(x), both(x, task="colorization"))
    assert verify(folder).ok
    return again


@pytest.mark.parametrize("method", ["norm_only", "head_only", sn.Piggyback(lr=1e-2, norm=True)], ids=str)
def test_norms_of_its_own(method: object, tmp_path: Path) -> None:
    empty = sn.MultiTaskNet(sn.UNet(width=2, norm="affine"))
    net = sn.learn(empty, sn.Colorization(), splits("coarse"), name="first", config=config())
    again = learned(net, method, tmp_path / "bundle")
    own, shared = again.state.weights("colorization"), again.state.shared
    moved = {name for name in net.layout.norms if not torch.equal(own[name], shared[name])}
    assert moved == (set() if method == "head_only" else set(net.layout.norms))
    assert all(torch.equal(tensor, net.state.shared[name]) for name, tensor in shared.items())


@pytest.mark.parametrize(
    ("method", "stored"),
    [
        ("piggyback", "float32"),
        ("piggyback", "float16"),
        ("piggyback", "int8"),
        ("quantized_delta", "int8"),
        ("quantized_delta", "seed:7"),
    ],
)
def test_tasks_over_a_backbone_in_fewer_bytes(method: str, stored: Any, tmp_path: Path) -> None:
    empty = sn.MultiTaskNet(sn.UNet(width=2))
    net = sn.learn(empty, sn.Colorization(), splits("coarse"), name="first", config=config(stored=stored))
    again = learned(net, method, tmp_path / "bundle")
    assert again.stored == stored
    assert all(torch.equal(tensor, net.state.shared[name]) for name, tensor in again.state.shared.items())
    masked = sum(net.state.shared[name].numel() for name in net.layout.masked)
    saved = masked * {"float32": 0, "float16": 2, "int8": 3, "seed:7": 4}[stored]
    file = tmp_path / "bundle" / "model.safetensors"
    sn.save(sn.MultiTaskNet(sn.UNet(width=2)), tmp_path / "whole")
    whole = (tmp_path / "whole" / "model.safetensors").stat().st_size
    assert whole - file.stat().st_size == pytest.approx(saved, abs=5_000)  # scales and the file's header
    tuned = sn.learn(again, sn.Colorization(), splits(), name="tuned", method="finetune", config=config())
    assert tuned.stored == "float32"  # its shared weights have moved
    sn.save(tuned, tmp_path / "tuned")


def test_over_a_backbone_that_is_a_number_the_first_task_is_a_quantised_delta(tmp_path: Path) -> None:
    empty = sn.MultiTaskNet(sn.UNet(width=2))
    net = sn.learn(empty, sn.Colorization(), splits("coarse"), name="first", config=config(stored="seed:7"))
    assert {net.deltas["first"].entries[name].KIND for name in net.layout.masked} == {"quantized"}
    drawn = rounded(arrays_of(net.state.shared), "seed:7")
    assert all(torch.equal(tensor, tensor_of(drawn[name])) for name, tensor in net.state.shared.items())
    other = sn.learn(empty, sn.Colorization(), splits("coarse"), name="first", config=config(stored="seed:8"))
    sn.save(net, tmp_path)
    with pytest.raises(sn.BundleError, match="another backbone is saved here"):
        sn.save(other, tmp_path)


def test_a_number_gives_all_weights_of_the_backbone() -> None:
    with pytest.raises(ValueError, match="`backbone` to be fresh with `stored` seed:7"):
        config(backbone="given", stored="seed:7")
    with pytest.raises(ValueError, match="no `frozen` with `stored: seed:7`, but got `init: vgg13`"):
        Backbone(init="vgg13", stored="seed:7")
    with pytest.raises(ValueError, match="but got `frozen: true`"):
        Backbone(frozen=True, stored="seed:7")


def test_a_frozen_backbone_is_rounded_before_a_head_is_learned_over_it() -> None:
    given = sn.MultiTaskNet(sn.UNet(width=2))
    how = config(backbone="frozen", stored="int8")
    net = sn.learn(given, sn.Colorization(), splits("coarse"), name="first", config=how)
    assert net.stored == "int8"
    whole = given.state.round("int8").shared
    assert all(torch.equal(tensor, whole[name]) for name, tensor in net.state.shared.items())


def test_a_quantised_delta_takes_the_bits_asked_for(tmp_path: Path) -> None:
    empty = sn.MultiTaskNet(sn.UNet(width=4))
    net = sn.learn(empty, sn.Colorization(), splits("coarse"), name="first", config=config())
    how = config(recipe=sn.Recipe(steps=40, batch=2, lr=1e-3))
    again = learned(net, sn.QuantizedDelta(target=0.8), tmp_path / "bundle")
    assert {again.deltas["colorization"].entries[name].KIND for name in net.layout.masked} == {"quantized"}
    both = sn.learn(net, sn.Colorization(), splits(), method=sn.QuantizedDelta(target=0.8), config=how)
    coded = [both.deltas["colorization"].entries[name] for name in net.layout.masked]
    numel = sum(prod(entry.shape) for entry in coded)
    assert 8 * sum(entry.nbytes for entry in coded) / numel == pytest.approx(0.8, abs=0.15)


def test_two_trainings_of_a_task_are_resumed_in_either(tmp_path: Path) -> None:
    """What the first has made is there again for the second: the same bytes, whenever it was stopped."""
    learning, method = config(recipe=sn.Recipe(steps=6, batch=2, lr=1e-3)), sn.PackNet(retrain=0.5)
    empty = sn.MultiTaskNet(sn.UNet(width=2))
    net = sn.learn(empty, sn.Colorization(), splits("coarse"), name="first", method=method, config=config())

    def weights(**how: Any) -> dict[str, torch.Tensor]:
        changed = replace(learning, **how)
        both = sn.learn(net, sn.Colorization(), splits(), method=method, config=changed)
        assert both.records["colorization"].metrics["step"] > 3  # of all six
        return both.state.weights("colorization")

    whole = weights()
    for questions in (3, 7):
        asked = iter(range(questions))
        folder = tmp_path / str(questions)
        with pytest.raises(Interrupted):
            weights(folder=folder, stop=lambda asked=asked: next(asked, None) is None)
        assert (folder / "fit-1").exists() == (questions == 7)
        resumed = weights(folder=folder, resume=True)
        assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_mistakes_are_named() -> None:
    net = sn.learn(sn.MultiTaskNet(sn.UNet(width=2)), sn.Colorization(), splits(), config=config())
    with pytest.raises(ValueError, match="'colorization' has been learned already"):
        sn.learn(net, sn.Colorization(), splits())
    with pytest.raises(ValueError, match="Expected `method` to be one of piggyback, quantized_delta, scratch, "):
        sn.learn(net, sn.Colorization(), splits(), name="again", method="nothing")
