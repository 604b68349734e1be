"""What a training leaves open is decided once: its precision, and whether it is compiled."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stencilnet.masks import INITIAL
from stencilnet.tasks.task import Recipe
from stencilnet.training import compiling
from stencilnet.training.compiling import WORTH, WORTH_STEPS, operations, settled
from stencilnet.training.distributed import ALONE
from stencilnet.training.fit import Interrupted, make_fit
from stencilnet.training.networks import graph_of
from stencilnet.training.settings import Settings, resolve
from stencilnet.training.step import ONE_LAUNCH, launch_mode

from .fit_toys import Pull, StopAfter, fit, job, masks, unet


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


def test_operations_are_counted_by_hand(tmp_path: Path) -> None:
    pixels, batch, steps = 32 * 32, 4, 7
    counted = operations(Small(), job(tmp_path, recipe=Recipe(steps=steps, batch=batch)))
    assert counted == 3 * 2 * (3 * 9 * 5) * pixels * batch * steps


@pytest.mark.parametrize(
    ("device", "precision", "share", "expected"),
    [
        ("cpu", "float32", 2.0, False),  # nothing to gain
        ("cpu", "bf16", 2.0, True),
        ("cpu", "bf16", 0.5, False),  # too short
        ("cuda", "float32", 2.0, True),
        ("cuda", "bf16", 0.5, False),
        ("mps", "float32", 2.0, False),
    ],
)
def test_only_what_wins_the_time_back_is_compiled(
    device: str, precision: str, share: float, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "can_compile", lambda _: True)
    monkeypatch.setattr(compiling, "operations", lambda *_: int(share * WORTH.get(device, 0)))
    resolved = replace(resolve(Settings(device="cpu")), device=device, precision=precision)
    assert settled(resolved, Small(), job(tmp_path), None).compiled is expected
    for word, always in (("always", True), ("never", False)):
        asked = replace(resolved, settings=Settings(compile=word))  # type: ignore[arg-type]
        assert settled(asked, Small(), job(tmp_path), None).compiled is always
    monkeypatch.setattr(compiling, "can_compile", lambda _: False)
    assert not settled(resolved, Small(), job(tmp_path), None).compiled


class ByValue(Small):
    """Its graph hangs on values: without any, it cannot run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * float(x.mean().item() > 0)


def test_a_graph_that_hangs_on_values_is_trained_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "can_compile", lambda _: True)
    monkeypatch.setattr(compiling, "WORTH", {"cpu": 1})
    resolved = replace(resolve(Settings(device="cpu")), precision="bf16")
    assert settled(resolved, Small(), job(tmp_path), None).compiled
    assert not settled(resolved, ByValue(), job(tmp_path), None).compiled


def test_many_steps_are_compiled_on_cuda_however_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "can_compile", lambda _: True)
    for device, steps, expected in (
        ("cuda", WORTH_STEPS, True),
        ("cuda", WORTH_STEPS - 1, False),
        ("cpu", 10**5, False),
    ):
        resolved = replace(resolve(Settings(device="cpu")), device=device, precision="bf16")
        asked = job(tmp_path, recipe=Recipe(steps=steps, batch=1))
        assert settled(resolved, Small(), asked, None).compiled is expected


@pytest.mark.parametrize(
    ("device", "critic", "accumulate", "expected"),
    [("cuda", False, 1, ONE_LAUNCH), ("cuda", True, 1, None), ("cuda", False, 2, None), ("cpu", False, 1, None)],
)
def test_one_launch_where_nothing_runs_between(
    device: str, critic: bool, accumulate: int, expected: str | None
) -> None:
    resolved = replace(resolve(Settings(device="cpu", accumulate=accumulate)), device=device)
    assert launch_mode(nn.Identity() if critic else None, resolved, ALONE) == expected
    assert launch_mode(None, resolved, ALONE, Pull()) is None


@pytest.mark.parametrize("theirs", ["float32", "bf16"])
def test_a_resumed_training_goes_on_in_the_precision_it_began_in(theirs: str, tmp_path: Path) -> None:
    backbone = unet()
    begun = fit(job(tmp_path / "whole"), masks(backbone), backbone, precision=theirs)
    with pytest.raises(Interrupted):
        fit(job(tmp_path / "two"), masks(backbone), backbone, precision=theirs, stop=StopAfter(4))
    settings = Settings(device="cpu", evaluate_every=2, checkpoint_every=2, log_every=1, samples=0)
    elsewhere = replace(resolve(settings), precision="float32" if theirs == "bf16" else "bf16")
    ours = make_fit(backbone, job(tmp_path / "two"), elsewhere, resume=True)(masks(backbone))
    for name, tensor in begun.weights().items():
        assert torch.equal(tensor, ours.weights()[name])
    said = json.loads((tmp_path / "two" / "fit-0" / "selected.json").read_text())
    assert (said["precision"], said["compiled"]) == (theirs, False)


def test_a_finished_training_is_not_said_to_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def asked(_: str) -> bool:
        raise AssertionError("Nothing is compiled, and trying it takes its time.")

    monkeypatch.setattr(compiling, "can_compile", asked)
    resolved = replace(resolve(Settings(device="cpu")), precision="bf16")
    record = {"finished": True, "fingerprint": {"precision": "bf16"}, "environment": {"compiled": True}}
    with caplog.at_level("INFO", logger="stencilnet"):
        found = settled(resolved, Small(), job(tmp_path), record)
    assert (found.precision, found.compiled) == ("bf16", True)
    assert not caplog.records


def test_a_graph_has_shapes_but_no_weights() -> None:
    backbone: Any = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    backbone[0].register_buffer("table", torch.arange(3.0), persistent=False)
    graph = graph_of(backbone, "cpu")
    assert {name: (t.device.type, t.shape) for name, t in graph.state_dict().items()} == {
        name: ("meta", t.shape) for name, t in backbone.state_dict().items()
    }
    assert torch.equal(graph[0].table, backbone[0].table)
    assert graph[0].table.data_ptr() != backbone[0].table.data_ptr()
    images = torch.rand(2, 3, 4, 4)
    backbone.eval()
    output = torch.func.functional_call(graph.eval(), dict(backbone.state_dict()), (images,))
    assert torch.equal(output, backbone(images))


@pytest.mark.usefixtures("compiler")
@pytest.mark.slow
def test_a_compiled_training_ends_where_an_eager_one_does(tmp_path: Path) -> None:
    backbone = unet()
    eager, compiled = (
        fit(job(tmp_path / how), masks(backbone), backbone, precision="float32", compile=how, penalty=Pull(0.1))
        for how in ("never", "always")
    )
    assert json.loads((tmp_path / "always" / "fit-0" / "selected.json").read_text())["compiled"] is True
    for ours, theirs in zip(compiled.groups()["mask"], eager.groups()["mask"], strict=True):
        moved = (theirs.detach() - INITIAL).abs().mean()
        assert float((ours.detach() - theirs.detach()).abs().mean()) < 0.05 * float(moved)
