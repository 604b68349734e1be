"""The paper's Table 2 as stage results, and a small hand-made comparison."""

from collections.abc import Callable, Mapping

import pytest

from stencilnet.evaluation.results import Sizes, StageResult, TaskCard
from stencilnet.tasks.task import Metric

MIB = 2**20

MIOU = Metric(name="mIoU", higher_is_better=True, note="%")
MSE = Metric(name="MSE", higher_is_better=False, note="RGB, 0-255")
SSIM = Metric(name="SSIM", higher_is_better=True)
TOTAL = Metric(name="total_loss", higher_is_better=False, note="VGG16")

Build = Callable[..., StageResult]


def card_of(number: int, name: str, metrics: tuple[Metric, ...], trivial: str = "gray") -> TaskCard:
    return TaskCard(
        number=number,
        name=name,
        title=name.upper(),
        category="a category",
        data="some data",
        input="RGB",
        output="RGB",
        loss="L2",
        metrics=metrics,
        trivial=trivial,
    )


CARDS = {
    card.name: card
    for card in (
        card_of(1, "coco", (MIOU,), "majority"),
        card_of(2, "voc", (MIOU,), "majority"),
        card_of(3, "colour", (MSE, SSIM)),
        card_of(4, "gogh", (SSIM, TOTAL), "identity"),
        card_of(5, "munch", (TOTAL,), "identity"),
        card_of(6, "handbags", (MSE,), "mean"),
    )
}


def result_of(
    method: str, task: str, metrics: Mapping[str, tuple[float, ...]], *, parent: str | None = "coco", **more: object
) -> StageResult:
    """A stage whose metrics are given in the order of each task's card."""
    named = {
        name: {metric.name: value for metric, value in zip(CARDS[name].metrics, values, strict=True)}
        for name, values in metrics.items()
    }
    settings = {"moves_shared": method == "finetune", **more}
    return StageResult(method=method, task=task, card=CARDS[task], parent=parent, metrics=named, **settings)  # type: ignore[arg-type]


@pytest.fixture
def build() -> Build:
    return result_of


@pytest.fixture
def paper() -> list[StageResult]:
    """The paper's Table 2. Between its rows, states are filled with what its text says: no forgetting, or much."""
    own = {
        "scratch": {"voc": (58.59,), "colour": (244.0, 0.9138), "gogh": (0.3678, 413833.0), "munch": (447480.0,)},
        "finetune": {"voc": (64.87,), "colour": (237.92, 0.9148), "gogh": (0.3555, 405893.0), "munch": (490490.0,)},
        "decoder": {"voc": (61.63,), "colour": (241.66, 0.9121), "gogh": (0.3595, 473723.0), "munch": (544348.0,)},
        "piggyback": {"voc": (61.45,), "colour": (242.49, 0.9058), "gogh": (0.3501, 528587.0), "munch": (521476.0,)},
    }
    bags = {"scratch": 211.96, "finetune": 207.76, "decoder": 237.53, "piggyback": 232.02}
    whole, head = round(56.4 * MIB), round(0.02 * MIB)
    delta = {"scratch": 56.4, "finetune": 0.02, "decoder": 20.5, "piggyback": 1.8}
    first = {"coco": (21.47,)}
    sizes = Sizes(delta=head, shared=whole - head, snapshot=whole)
    results = [result_of("backbone", "coco", first, parent=None, moves_shared=True, sizes=sizes)]
    for method, numbers in own.items():
        state: dict[str, tuple[float, ...]] = dict(first)
        for task, values in {**numbers, "handbags": (bags[method],)}.items():
            if method == "scratch":
                tested = {task: values}
            elif method == "finetune":
                tested = {**_forgotten(task), task: values}
            else:
                state[task] = values
                tested = dict(state)
            sizes = Sizes(delta=round(delta[method] * MIB), shared=whole - head, snapshot=whole)
            parent = {"munch": "colour"}.get(task) if method == "finetune" else "coco"
            results.append(result_of(method, task, tested, parent=parent or _before(task), sizes=sizes))
    results.append(result_of("trivial", "colour", {"colour": (250.0, 0.92)}, parent=None))
    return results


def _before(task: str) -> str:
    names = list(CARDS)
    return names[names.index(task) - 1]


def _forgotten(task: str) -> dict[str, tuple[float, ...]]:
    """What fine-tuning leaves of earlier tasks; Task 5 starts from Task 3, so Task 4 is not in its state."""
    return {
        "voc": {"coco": (0.70,)},
        "colour": {"coco": (0.5,), "voc": (1.87,)},
        "gogh": {"coco": (0.4,), "voc": (1.5,), "colour": (870.18, 0.5321)},
        "munch": {"coco": (0.3,), "voc": (1.2,), "colour": (900.0, 0.5)},
        "handbags": {"coco": (0.2,), "voc": (1.1,), "colour": (950.0, 0.45), "munch": (2e6,)},
    }[task]
