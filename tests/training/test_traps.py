"""Traps that public code for learned masks falls into, each through our own optimisers."""

from pathlib import Path

import pytest
import torch
from torch import nn

from stencilnet.masks import INITIAL, Masks
from stencilnet.tasks.task import Recipe
from stencilnet.training.checkpoint import put_back, trained_tensors
from stencilnet.training.optimizers import adam_by_role, adam_for_critic

from .fit_toys import fit, job, masks, unet, weights


def constant_gradient(lr: float, steps: int) -> Masks:
    trainable = masks(unet())
    optimizer = adam_by_role(trainable.groups(), Recipe(lr=1.0, schedule="constant"), lr)
    for _ in range(steps):
        for real in trainable.groups()["mask"]:
            real.grad = torch.ones_like(real)
        optimizer.step()
    return trainable


@pytest.mark.parametrize(("lr", "before", "after"), [(1e-4, 45, 55), (1e-3, 4, 6)])
def test_a_mask_crosses_the_dead_zone_when_it_should(lr: float, before: int, after: int) -> None:
    # A score starts 5e-3 above the threshold and Adam moves lr a step under a constant gradient: 50 or 5 steps.
    assert constant_gradient(lr, before).zeros() == 0
    trainable = constant_gradient(lr, after)
    assert trainable.zeros() == sum(real.numel() for real in trainable.groups()["mask"])


@pytest.mark.parametrize("make", [masks, weights])
def test_no_group_decays(make) -> None:
    trainable = make(unet())
    critic = adam_for_critic([nn.Parameter(torch.ones(3))], Recipe())
    for optimizer in (adam_by_role(trainable.groups(), Recipe(), 1e-3), critic):
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0] * len(optimizer.param_groups)


def test_masks_without_gradient_do_not_move() -> None:
    trainable = masks(unet())
    optimizer = adam_by_role(trainable.groups(), Recipe(), 1e-1)
    for _ in range(20):
        for real in trainable.groups()["mask"]:
            real.grad = torch.zeros_like(real)
        optimizer.step()
    initial = torch.tensor(INITIAL)
    assert all(torch.equal(real.detach(), initial.expand_as(real)) for real in trainable.groups()["mask"])


def test_real_masks_and_adams_states_stay_float32_under_bf16(tmp_path: Path) -> None:
    backbone, trainable = unet(), masks(unet())
    kinds: set[torch.dtype] = set()

    def note(parameter: torch.Tensor) -> None:
        kinds.update({parameter.dtype, parameter.grad.dtype})

    for real in trainable.groups()["mask"]:
        real.register_post_accumulate_grad_hook(note)
    tiny = job(tmp_path, recipe=Recipe(steps=2, batch=2))
    fit(tiny, trainable, backbone, precision="bf16", checkpoint_every=1, evaluate_every=2)
    assert kinds == {torch.float32}
    assert {tensor.dtype for tensor in trainable.state_dict().values()} == {torch.float32}


def test_what_adam_writes_is_seen_by_the_masks() -> None:
    """Torch's fused Adam goes past autograd's version counters, by which masks know that they have changed."""
    trainable = masks(unet())
    optimizer = adam_by_role(trainable.groups(), Recipe(lr=1.0, schedule="constant"), 1.0)
    before = trainable.weights()["conv1_1.weight"].detach().clone()
    for real in trainable.groups()["mask"]:
        real.grad = torch.ones_like(real)
    optimizer.step()
    after = trainable.weights()["conv1_1.weight"]
    assert before.all()
    assert not after.any()


def test_what_a_checkpoint_puts_back_is_seen_by_the_masks() -> None:
    trainable, other = masks(unet()), masks(unet())
    trainable.weights()
    for real in other.groups()["mask"]:
        torch.nn.init.zeros_(real)
    put_back(trainable, trained_tensors(other))
    assert not trainable.weights()["conv1_1.weight"].any()
