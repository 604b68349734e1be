"""A small run with names that try to break out of every format."""

import numpy as np
import pytest
import torch

from stencilnet.analysis.curves import Curves
from stencilnet.delta import BitMask, Quantized, Select, WeightCodes
from stencilnet.evaluation.results import Sizes, StageResult, TaskCard
from stencilnet.masks import array_of
from stencilnet.tasks.task import Metric

HOSTILE = "<script>alert(1)</script> & $x_1$ | `b` \"q\" 'a'"

MIOU = Metric(name="mIoU", higher_is_better=True, note="%")
MSE = Metric(name="MSE", higher_is_better=False, note="RGB, 0-255")

LAYERS = {
    "conv1_1.weight": (4, 3, 3, 3),
    "conv5_1.weight": (5, 7),
    "up6.weight": (3, 3, 2, 2),
    "conv9_2.weight": (8, 4, 3, 3),
}
DECODER = ("up6.weight", "conv9_2.weight")


def card_of(number: int, name: str, title: str, metric: Metric) -> TaskCard:
    return TaskCard(
        number=number,
        name=name,
        title=title,
        category="a category",
        data="some data",
        input="RGB",
        output="RGB",
        loss="L2",
        metrics=(metric,),
        trivial="gray",
    )


CARDS = {
    "fine": card_of(1, "fine", "fine classes", MIOU),
    "coarse": card_of(2, "coarse", HOSTILE, MIOU),
    "colour": card_of(3, "colour", "colouring", MSE),
}


def stage(method: str, task: str, parent: str | None, **values: float) -> StageResult:
    return StageResult(
        method=method,
        task=task,
        card=CARDS[task],
        parent=parent,
        moves_shared=method in ("finetune", "backbone"),
        metrics={name: {CARDS[name].metrics[0].name: value} for name, value in values.items()},
        validation=50.0,
        selected_step=200,
        seconds=30.0,
        sizes=Sizes(delta=120_000 if method == "piggyback" else 3_000, shared=3_700_000, snapshot=3_703_000),
        zero_ratio=0.5 if method == "piggyback" else None,
        seed=7,
        commit="60a8ca1",
        hardware="2 cores",
        versions={"torch": "2.15.0"},
        date="2026-01-02T03:04:05+00:00",
        notes=(f"Perceptual network: {HOSTILE}",),
    )


@pytest.fixture(scope="session")
def results() -> tuple[StageResult, ...]:
    return (
        stage("backbone", "fine", None, fine=50.0),
        stage("finetune", "coarse", "fine", fine=5.0, coarse=70.0),
        stage("finetune", "colour", "fine", fine=60.0, colour=200.0),
        stage("piggyback", "coarse", "fine", fine=50.0, coarse=65.0),
        stage("piggyback", "colour", "fine", fine=50.0, coarse=65.0, colour=240.0),
        stage("trivial", "colour", None, colour=260.0),
    )


@pytest.fixture(scope="session")
def masks() -> dict[str, dict[str, WeightCodes]]:
    generator = torch.Generator().manual_seed(0)
    drawn = {
        task: {key: BitMask.pack(torch.rand(shape, generator=generator) < 0.5) for key, shape in LAYERS.items()}
        for task in ("coarse", "colour")
    }
    return {task: {key: Select(bits).weight_codes for key, bits in own.items()} for task, own in drawn.items()}


@pytest.fixture(scope="session")
def changes() -> dict[str, dict[str, WeightCodes]]:
    """Codes from -2 to 2, of which about half are 0."""
    generator = torch.Generator().manual_seed(1)
    drawn = {
        task: {
            key: torch.randn(shape, generator=generator).mul(0.8).round().clamp(-2, 2) for key, shape in LAYERS.items()
        }
        for task in ("coarse", "colour")
    }
    step = np.array(0.1, np.float32)
    return {
        task: {key: Quantized(array_of(codes.to(torch.int8)), step).weight_codes for key, codes in own.items()}
        for task, own in drawn.items()
    }


@pytest.fixture(scope="session")
def curves() -> dict[str, Curves]:
    return {
        "finetune": Curves(loss=((1, 2, 3), (4.0, 2.0, 1.0)), validation=((100, 200), (10.0, 70.0)), selected=200),
        "piggyback": Curves(loss=((1, 2, 3), (5.0, 3.0, 2.0)), validation=((100, 200), (5.0, 65.0)), selected=100),
    }
