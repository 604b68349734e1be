"""Masks whose scores share one second moment a tensor: they learn otherwise, and are resumed to the same bytes."""

from pathlib import Path

import pytest
from torch import nn

from stencilnet.masks import Masks, Moment
from stencilnet.models import layout_of
from stencilnet.tasks.task import Recipe
from stencilnet.training.fit import CheckpointError, Interrupted

from .fit_toys import StopAfter, delta_bytes, fit, job, parts, unet

# torch's loader forks; Python 3.12 and newer warn of that in a process with threads
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

RECIPE = Recipe(steps=12, batch=2, lr=1e-3)


def masks(backbone: nn.Module, moment: Moment = "tensor") -> Masks:
    return Masks(*parts(backbone), layout_of(backbone, "head", ()).masked, moment=moment)


def test_fewer_bits_flip_than_by_a_moment_a_score(tmp_path: Path) -> None:
    backbone = unet()
    zeros = {
        moment: fit(job(tmp_path / moment, recipe=RECIPE, mask_lr=2e-3), masks(backbone, moment), backbone).zeros()
        for moment in ("element", "tensor")
    }
    assert 0 < zeros["tensor"] < zeros["element"]


def test_it_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    backbone = unet()
    whole = fit(job(tmp_path / "whole", recipe=RECIPE, mask_lr=2e-3), masks(backbone), backbone)
    how = job(tmp_path / "cut", recipe=RECIPE, mask_lr=2e-3)
    with pytest.raises(Interrupted):
        fit(how, masks(backbone), backbone, stop=StopAfter(5))
    with pytest.raises(CheckpointError, match="`mask moment`"):
        fit(how, masks(backbone, "element"), backbone, resume=True)
    assert delta_bytes(fit(how, masks(backbone), backbone, resume=True)) == delta_bytes(whole)
