"""Trainings of quantised deltas: resumed to the same bytes, told apart, and shown as what they are."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from stencilnet.masks import Codes
from stencilnet.models import layout_of
from stencilnet.tasks.task import Recipe
from stencilnet.training.fit import CheckpointError, Interrupted

from .fit_toys import Invert, Normed, StopAfter, delta_bytes, fit, job, parts, seeded, unet

# torch's loader forks; Python 3.12 and newer warn of that in a process with threads
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def codes(backbone: nn.Module, target: float = 1.0) -> Codes:
    masked = layout_of(backbone, "head", ()).masked
    return Codes(*parts(backbone), masked, [], target=target, switch=0.3, sensitivity=0.4, dead=1.3)


def values(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "fit-0" / "metrics.jsonl").read_text().splitlines()]


def rows(folder: Path) -> list[dict[str, float]]:
    return [row for row in values(folder) if "loss" in row]


@pytest.mark.parametrize("make", [unet, lambda: seeded(Normed)], ids=["unet", "batch norm"])
def test_codes_are_resumed_with_their_steps(make: Any, tmp_path: Path) -> None:
    """Before rounding begins, at step 15, right after it, and between two corrections of the codes' steps."""
    backbone, recipe = make(), Recipe(steps=50, batch=2, lr=1e-3)
    whole = fit(job(tmp_path / "whole", recipe=recipe), codes(backbone), backbone, evaluate_every=10)
    again = partial(fit, job(tmp_path / "cut", recipe=recipe), evaluate_every=10, resume=True)
    for steps in (9, 6, 12, 10):
        with pytest.raises(Interrupted):
            again(codes(backbone), backbone, stop=StopAfter(steps))
    cut = again(codes(backbone), backbone)
    assert delta_bytes(cut) == delta_bytes(whole)
    assert cut.selectable
    shown = [row.get("code/bits") for row in rows(tmp_path / "cut")]
    assert shown[:14] == [None] * 14
    assert len(set(shown[14:])) > 5


def test_only_what_is_rounded_is_selected(tmp_path: Path) -> None:
    """The error falls, so that of a task that wants it high the first evaluation is the best."""
    backbone, recipe = unet(), Recipe(steps=20, batch=2, lr=1e-3)
    how = job(tmp_path, recipe=recipe, task=Invert(higher=True))
    fit(how, codes(backbone), backbone, evaluate_every=2)
    scored = [row["step"] for row in values(tmp_path) if "validation/MSE" in row]
    assert scored == list(range(2, 21, 2))
    chosen = json.loads((tmp_path / "fit-0" / "selected.json").read_text())
    assert chosen["step"] == 6  # the first with codes


def test_codes_of_another_rate_are_another_training(tmp_path: Path) -> None:
    backbone = unet()
    with pytest.raises(Interrupted):
        fit(job(tmp_path), codes(backbone), backbone, stop=StopAfter(1))
    with pytest.raises(CheckpointError, match=r"`code target` was 1\.0, is 0\.5"):
        fit(job(tmp_path), codes(backbone, target=0.5), backbone, resume=True)
