"""Several tasks as one: each has the loss, the scores and the critic that it has alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from stencilnet.models import UNet
from stencilnet.tasks.colorization import Colorization
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Task
from stencilnet.tasks.together import Together, joined, score

TASKS: dict[str, Task] = {
    "things": Segmentation(classes=("a", "b", "c")),
    "colour": Colorization(),
    "v1.edges": Edges2Photo(critic_layers=1, critic_width=4),
}
SCALES = {"things": 2.0, "colour": 0.5, "v1.edges": 100.0}


def levels(*shape: int, seed: int, below: int = 256) -> Tensor:
    return torch.randint(below, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def samples() -> dict[str, dict[str, Tensor]]:
    """A batch of two of each task, compact."""
    return {
        "things": {"input": levels(2, 3, 32, 32, seed=1), "target": levels(2, 32, 32, seed=2, below=3)},
        "colour": {"image": levels(2, 3, 32, 32, seed=3)},
        "v1.edges": {"input": levels(2, 1, 32, 32, seed=4), "target": levels(2, 3, 32, 32, seed=5)},
    }


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return UNet(width=2, channels=8).eval()


@pytest.fixture(scope="module")
def critic() -> nn.Module:
    torch.manual_seed(1)
    made = Together(tasks=TASKS, scales=SCALES).critic()
    assert made is not None
    return made


def alone(network: nn.Module, name: str, sample: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """A task's output by its own channels of the head, and its prepared batch, with none of the code under test."""
    first = {"things": 0, "colour": 3, "v1.edges": 5}[name]
    weights = dict(network.state_dict())
    for key in ("head.weight", "head.bias"):
        weights[key] = weights[key][first : first + TASKS[name].channels]
    prepared = TASKS[name].prepare(sample)
    return functional_call(network, weights, (prepared["input"],)), prepared


def test_every_task_has_the_loss_it_has_alone_over_its_scale(
    samples: dict[str, dict[str, Tensor]], network: nn.Module, critic: nn.Module
) -> None:
    together = Together(tasks=TASKS, scales=SCALES)
    assert together.channels == 8
    prepared = together.prepare(joined(samples))
    assert prepared["input"].shape == (6, 3, 32, 32)
    output = network(prepared["input"])
    terms = together.loss(output, prepared, critic)
    adversary = next(iter(critic.children()))
    for name, sample in samples.items():
        own, given = alone(network, name, sample)
        for term, value in TASKS[name].loss(own, given, adversary if name == "v1.edges" else None).items():
            torch.testing.assert_close(terms.pop(f"{name}:{term}"), value / SCALES[name])
    assert not terms
    own, given = alone(network, "v1.edges", samples["v1.edges"])
    expected = TASKS["v1.edges"].critic_loss(adversary, own.detach(), given)
    torch.testing.assert_close(together.critic_loss(critic, output.detach(), prepared), expected)
    assert Together(tasks={"colour": Colorization()}, scales={"colour": 1.0}).critic() is None
    assert float(together.weight(prepared)) == 6


def test_every_task_has_the_scores_it_has_alone(samples: dict[str, dict[str, Tensor]], network: nn.Module) -> None:
    """Also where batches hold one task's examples only, as in validation."""
    together = Together(tasks=TASKS, scales=SCALES)
    scores = together.scores()
    with torch.no_grad():
        for name, sample in samples.items():
            prepared = together.prepare(joined({name: sample}))
            scores.update(network(prepared["input"]), prepared)
        found = scores.compute()
        for name, sample in samples.items():
            expected = TASKS[name].scores()
            expected.update(*alone(network, name, sample))
            assert score(found, name) == pytest.approx(expected.compute(), rel=1e-5)
    assert list(found) == [metric.name for metric in together.metrics]


def test_what_needs_a_single_task_is_refused() -> None:
    together: Any = Together(tasks=TASKS, scales=SCALES)
    for ask in (together.sample, together.baseline, together.to_input):
        with pytest.raises(TypeError, match=r"Expected .*single task"):
            ask("this")
