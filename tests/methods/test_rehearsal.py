"""Pseudo-rehearsal: what earlier heads are held to, against plain numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stencilnet.delta import Replace, TaskDelta
from stencilnet.masks import NetState, array_of, task_weights
from stencilnet.methods import Fresh, Piggyback, Rehearsal
from stencilnet.methods.distilling import divergence
from stencilnet.methods.rehearsal import Distillation
from stencilnet.models import UNet
from stencilnet.models.unet import DECODER

CHANNELS = {"labels": 3, "colour": 2, "more": 4}
LOGITS = {"labels": True, "colour": False, "more": True}


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    torch.manual_seed(0)
    return UNet(width=2).eval()


@pytest.fixture(scope="module")
def fresh(backbone: nn.Module, make_fresh: Any) -> dict[str, Fresh]:
    return {
        task: make_fresh(backbone, channels=count, seed=count, head="head", decoder=DECODER, logits=LOGITS.__getitem__)
        for task, count in CHANNELS.items()
    }


@pytest.fixture(scope="module")
def state(backbone: nn.Module, fresh: dict[str, Fresh]) -> NetState:
    """Three tasks, each a head over the same weights."""
    learned = NetState({n: t.clone() for n, t in backbone.state_dict().items() if not n.startswith("head.")})
    for task, made in fresh.items():
        learned = learned.add(task, TaskDelta({name: Replace(array_of(tensor)) for name, tensor in made.head.items()}))
    return learned


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def divergence_by_hand(given: Tensor, wanted: Tensor) -> float:
    """Hinton et al.'s: 4 KL(teacher at T = 2 || student at T = 2), a mean over images and pixels."""
    ours, theirs = (softmax(logits.detach().double().numpy() / 2) for logits in (given, wanted))
    return float(4 * (theirs * np.log(theirs / ours)).sum(axis=1).mean())


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (3, 7)], ids=["pixels", "labels"])
def test_logits_are_compared_by_their_divergence(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    given, wanted = (3 * torch.randn(shape, generator=generator) for _ in range(2))
    assert float(divergence(given, wanted)) == pytest.approx(divergence_by_hand(given, wanted), rel=1e-5)
    assert float(divergence(wanted + 5, wanted)) == pytest.approx(0, abs=1e-6)  # a softmax does not see it


def test_every_earlier_head_is_held_to_what_it_put_out(
    backbone: nn.Module, state: NetState, fresh: dict[str, Fresh]
) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(3)
    moved = {
        name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator) for name, tensor in state.shared.items()
    }

    def run(weights: Mapping[str, Tensor], seen: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(backbone, dict(weights), (seen,))
        return output

    made = fresh["more"]
    penalty = Distillation(state, made.layout, made.logits, strength=3.0, noise=False)
    expected = 0.0
    for task, delta in state.deltas.items():
        wanted, given = run(task_weights(delta, state.shared), images), run(task_weights(delta, moved), images)
        plain = float((given - wanted).double().square().mean())
        expected += 3 * (divergence_by_hand(given, wanted) if LOGITS[task] else plain)
    value = penalty({**moved, **made.head}, images, run)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert expected > 1e-3
    assert penalty.settings() == {"strength": 3.0, "inputs": "images", "outputs": "lvl"}


def test_noise_needs_nothing_of_the_images_but_their_shape(state: NetState, fresh: dict[str, Fresh]) -> None:
    made, seen = fresh["more"], []

    def run(weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        seen.append(images)
        return images.mean(dim=1, keepdim=True).expand(-1, 9, -1, -1)

    penalty = Distillation(state, made.layout, made.logits, strength=1.0, noise=True)
    for _ in range(2):
        penalty({**state.shared, **made.head}, torch.full((2, 3, 32, 32), 7.0), run)
    assert torch.equal(seen[0], seen[1])  # teacher and student see the same
    assert not torch.equal(seen[0], seen[2])
    assert all(0 <= float(images.min()) < 0.1 < 0.9 < float(images.max()) <= 1 for images in seen)
    assert float(seen[0].std()) == pytest.approx(12**-0.5, rel=0.05)


@pytest.mark.parametrize("inputs", ["images", "noise"])
def test_both_inputs_hold_an_earlier_task(
    inputs: Any, backbone: nn.Module, state: NetState, fresh: dict[str, Fresh], make_fit: Any
) -> None:
    only = state.remove("colour").remove("more")
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(7))

    def drift(learned: NetState) -> float:
        before, after = (
            torch.func.functional_call(backbone, weights, (images,))
            for weights in (only.weights("labels"), learned.weights("labels"))
        )
        return divergence_by_hand(after, before)

    torch.manual_seed(0)
    fit = make_fit(backbone, seed=1, steps=6, lr=2e-2)
    loose = Rehearsal(strength=1e-6, inputs=inputs).learn(only, "more", fresh["more"], fit)
    tight = Rehearsal(strength=100.0, inputs=inputs).learn(only, "more", fresh["more"], fit)
    assert drift(tight) < 0.5 * drift(loose)


def test_tasks_that_are_more_than_a_head_are_refused(
    backbone: nn.Module, state: NetState, fresh: dict[str, Fresh], make_fit: Any
) -> None:
    masked = Piggyback(lr=1e-2).learn(state.remove("more"), "more", fresh["more"], make_fit(backbone, steps=1))
    with pytest.raises(ValueError, match=r"'more' has 22 other tensors of its own \(conv1_1\.weight, .*finetune"):
        Rehearsal().learn(masked, "again", fresh["more"], make_fit(backbone))


def test_mistaken_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected rehearsal's `strength` to be positive, but got 0\."):
        Rehearsal(strength=0.0)
    with pytest.raises(ValueError, match=r"Expected rehearsal's `inputs` to be images or noise, but got 'old'\."):
        Rehearsal(inputs="old")  # type: ignore[arg-type]
