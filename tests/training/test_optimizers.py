from math import cos, pi

import numpy as np
import pytest
import torch

from stencilnet.tasks.task import SCHEDULES, Recipe
from stencilnet.training.optimizers import adam_by_role, adam_for_critic, scale_rates, schedule_factor

from .fit_toys import masks, unet, weights


def test_schedules() -> None:
    steps = 10
    assert [schedule_factor("constant", step, steps) for step in range(steps)] == [1.0] * 10
    np.testing.assert_allclose(
        [schedule_factor("cosine", step, steps) for step in range(steps)],
        [(1 + cos(pi * step / 10)) / 2 for step in range(steps)],
    )
    np.testing.assert_allclose(
        [schedule_factor("linear", step, steps) for step in range(steps)],
        [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2],
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_schedule_starts_at_one_and_never_reaches_zero(schedule: str, steps: int) -> None:
    factors = [schedule_factor(schedule, step, steps) for step in range(steps)]
    assert factors[0] == 1
    assert min(factors) > 0
    assert factors == sorted(factors, reverse=True)


def test_an_unknown_schedule() -> None:
    with pytest.raises(ValueError, match=r"Expected `schedule` to be constant, cosine or linear, but got 'step'\."):
        schedule_factor("step", 0, 1)


def test_rates_and_betas_go_by_role() -> None:
    recipe = Recipe(lr=3e-4, betas=(0.5, 0.999))
    optimizer = adam_by_role(masks(unet()).groups(), recipe, 1e-2)
    assert [(group["name"], group["lr"], group["betas"]) for group in optimizer.param_groups] == [
        ("mask", 1e-2, (0.5, 0.999)),
        ("head", 3e-4, (0.5, 0.999)),
    ]
    scale_rates(optimizer, 0.5)
    scale_rates(optimizer, 0.25)  # of the initial rate, not of the latest
    assert [group["lr"] for group in optimizer.param_groups] == [2.5e-3, 7.5e-5]
    plain = adam_by_role(weights(unet()).groups(), recipe, 1e-2)
    assert {group["name"]: group["lr"] for group in plain.param_groups} == {"weight": 3e-4, "head": 3e-4}
    critic = adam_for_critic([torch.nn.Parameter(torch.ones(2))], recipe)
    assert [(group["lr"], group["betas"]) for group in critic.param_groups] == [(3e-4, (0.5, 0.999))]


def test_adam_follows_kingma_and_ba() -> None:
    recipe, rng = Recipe(lr=1e-2, betas=(0.5, 0.9)), np.random.default_rng(0)
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 5))
    optimizer = adam_by_role({"head": [parameter]}, recipe, 1.0)
    value, m, v = parameter.detach().numpy().astype(float), np.zeros(5), np.zeros(5)
    for step in range(1, 6):
        gradient = rng.normal(size=5).astype(np.float32)
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        m, v = 0.5 * m + 0.5 * gradient, 0.9 * v + 0.1 * gradient.astype(float) ** 2
        value -= 1e-2 * (m / (1 - 0.5**step)) / (np.sqrt(v / (1 - 0.9**step)) + 1e-8)
    np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-5)
