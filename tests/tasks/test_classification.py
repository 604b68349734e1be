"""Classification: numbers against NumPy, what a user's photo becomes, and the words of its errors."""

from dataclasses import asdict
from math import log
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import stencilnet as sn
from stencilnet.bundle import TaskRecord
from stencilnet.data.transforms import View, evaluation_view
from stencilnet.delta import Replace, TaskDelta
from stencilnet.kinds.catalog import kind_from_record
from stencilnet.masks import array_of
from stencilnet.models import MultiTaskNet, save
from stencilnet.runtime import Engine
from stencilnet.runtime.answering import label_view, prepare
from stencilnet.runtime.files import run_files
from stencilnet.tasks.classification import Classification
from stencilnet.tasks.task import Example

TREES = ("elm", "oak", "ash", "fir", "yew", "fig", "box")


def answers(count: int = 60, classes: int = 7) -> tuple[Tensor, Tensor]:
    """Logits that are right now and then, and labels of uneven classes; the last class does not occur."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.multinomial(torch.arange(classes - 1.0) + 1, count, replacement=True, generator=generator)
    logits = torch.randn(count, classes, generator=generator)
    logits[torch.arange(count), labels] += 0.8
    return logits, labels


def scores(task: Classification, logits: Tensor, labels: Tensor, parts: int = 3) -> dict[str, float]:
    found = task.scores()
    for some, true in zip(logits.chunk(parts), labels.chunk(parts), strict=True):
        found.update(some, {"target": true})
    return found.compute()


def test_accuracies_are_those_of_numpy() -> None:
    logits, labels = answers()
    found = scores(Classification(classes=TREES), logits, labels)
    ranked, true = np.argsort(-logits.numpy(), axis=1), labels.numpy()
    hits = ranked == true[:, None]
    own = [hits[true == k, 0].mean() for k in range(6)]
    assert found == pytest.approx(
        {
            "accuracy": 100 * hits[:, 0].mean(),
            "class_accuracy": 100 * np.mean(own),
            "top5_accuracy": 100 * hits[:, :5].sum() / len(true),
        }
    )
    assert found["accuracy"] < found["top5_accuracy"] < 100


def test_five_classes_have_no_top_five() -> None:
    task = Classification(classes=TREES[:5])
    assert [metric.name for metric in task.metrics] == ["accuracy", "class_accuracy"]
    assert scores(task, *answers(classes=5)).keys() == {"accuracy", "class_accuracy"}


def test_of_equal_logits_the_first_wins() -> None:
    found = scores(Classification(classes=TREES), torch.zeros(2, 7), torch.tensor([0, 5]), parts=1)
    assert found == {"accuracy": 50.0, "class_accuracy": 50.0, "top5_accuracy": 50.0}


def test_loss_is_the_mean_negative_log_likelihood() -> None:
    logits, labels = torch.tensor([[0.0, log(3)], [log(4), 0.0]]), torch.tensor([1, 1])
    (loss,) = Classification(classes=("a", "b")).loss(logits, {"target": labels}, None).values()
    assert float(loss) == pytest.approx((-log(3 / 4) - log(1 / 5)) / 2)


def test_the_baseline_answers_by_how_often_classes_occur() -> None:
    task = Classification(classes=TREES)
    samples = [{"target": torch.tensor(category)} for category in (4, 2, 4, 6, 2, 4)]
    predicted = task.baseline(samples)({"input": torch.zeros(3, 3, 8, 8)})
    assert predicted.tolist() == [[0, 0, 2, 0, 3, 0, 1]] * 3


def test_labels_are_sorted_and_add_up_to_one() -> None:
    found = Classification(classes=("a", "b", "c")).to_label(np.array([0, log(2), log(5)], np.float32))
    assert [name for name, _ in found] == ["c", "b", "a"]
    assert [share for _, share in found] == pytest.approx([5 / 8, 2 / 8, 1 / 8])


def record(view: View | None, **former: object) -> TaskRecord:
    task = Classification(classes=TREES)
    settings, recipe = {**task.settings(), **former}, {} if view is None else {"view": asdict(view)}
    return TaskRecord(kind=task.kind, channels=len(TREES), method="backbone", settings=settings, recipe=recipe)


def levels_seen(record: TaskRecord, pixels: np.ndarray) -> np.ndarray:
    task, (size, crop) = kind_from_record(record.kind, record.settings), label_view(record)
    return 255 * prepare(task, Image.fromarray(pixels), size, crop=crop).input


@pytest.mark.parametrize("test", ["whole", "crop"])
@pytest.mark.parametrize(("resize", "crop"), [(40, 32), (None, 32), (None, 64), (24, 32), (32, 32)])
@pytest.mark.parametrize("size", [(45, 70), (70, 45), (32, 32), (33, 40)])
def test_a_photo_is_seen_as_a_test_sees_it(
    test: Literal["whole", "crop"], resize: int | None, crop: int, size: tuple[int, int]
) -> None:
    task, view = Classification(classes=TREES), View(resize=resize, crop=crop, test=test)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    example = Example(name="x", image=torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), category=0)
    tested = task.prepare(task.sample(evaluation_view(example, view, whole=test == "whole")))["input"].numpy()
    seen = levels_seen(record(view), pixels)
    assert seen.shape == tested.shape
    off = np.abs(seen - 255 * tested)
    assert off.max() < 1.01  # Pillow and PyTorch round some resized bytes otherwise
    assert (off > 0.5).mean() < 0.05
    # Older bundles say it in the kind's settings, and always mean a crop.
    former = levels_seen(record(None, resize=resize, crop=crop), pixels)
    other = levels_seen(record(View(resize=9, crop=8, test="whole"), resize=resize, crop=crop), pixels)
    assert np.array_equal(former, other)
    assert former.shape == (3, crop, crop)
    assert test == "whole" or np.array_equal(former, seen)


def test_a_task_without_a_view_sees_the_whole_photo() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
    assert np.array_equal(levels_seen(record(None), pixels).round(), pixels.transpose(2, 0, 1))


def test_mistakes_in_settings_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"at least 2 classes, but got 1; `classes` to have no empty name"):
        Classification(classes=("",))
    with pytest.raises(ValueError, match=r"no empty name; `classes` to have no name twice, but got more than one 'a'"):
        Classification(classes=("a", "", "a"))


def test_classes_that_are_not_there_are_named() -> None:
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"`x`: expected a class, but it has none. Use data with classes"):
        Classification(classes=TREES).sample(Example(name="x", image=image))
    with pytest.raises(ValueError, match=r"`x`: expected its class to be an index below 7 \(elm, .*, but got 7"):
        Classification(classes=TREES).sample(Example(name="x", image=image, category=7))
    with pytest.raises(ValueError, match=r"below 0 \(no classes are named\), but got 0. Name all classes"):
        Classification().sample(Example(name="x", image=image, category=0))


def test_a_network_that_gives_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match=r"logits \(N, K\), but .* shape \(2, 7, 8, 8\). Use .* such as VGG16"):
        Classification(classes=TREES).loss(torch.zeros(2, 7, 8, 8), {"target": torch.zeros(2).long()}, None)


class Mean(nn.Module):
    """The smallest classifier: a linear layer on the picture's mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(x.mean(dim=(2, 3))))
        return scores


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Two tasks over one classifier: which of red and blue there is more of; and three nonsense channels."""
    backbone = Mean()
    with torch.no_grad():
        backbone.body.weight.copy_(torch.eye(3))
        backbone.body.bias.zero_()
    heads = {"colour": torch.tensor([[9.0, 0, 0], [0, 0, 9.0]]), "paint": torch.eye(3)}
    net = MultiTaskNet(backbone, decoder=())
    state = net.state
    for name, weight in heads.items():
        state = state.add(
            name,
            TaskDelta(
                {"head.weight": Replace(array_of(weight)), "head.bias": Replace(array_of(torch.zeros(len(weight))))}
            ),
        )
    settings = {"classes": ["red", "blue"], "resize": None, "crop": 8}  # as in older bundles
    records = {
        "colour": TaskRecord(kind="classification", channels=2, method="backbone", settings=settings),
        "paint": TaskRecord(kind="restoration", channels=3, method="piggyback"),
    }
    save(net.with_state(state, records), tmp_path / "bundle")
    return tmp_path / "bundle"


def test_the_engine_labels_pictures(bundle: Path, tmp_path: Path) -> None:
    engine = Engine(bundle, backbone=Mean())
    Image.new("RGB", (20, 12), (0, 0, 255)).save(tmp_path / "sea.png")
    found = engine.label(tmp_path / "sea.png", "colour")
    assert found == engine.label(Image.new("RGB", (20, 12), (0, 0, 255)), "colour")
    assert found == engine.label(Image.new("RGBA", (20, 12), (0, 0, 255, 255)), "colour")
    assert [name for name, _ in found] == ["blue", "red"]
    assert found[0][1] == pytest.approx(1 / (1 + np.exp(-9)))
    bay = Image.new("RGB", (20, 12), (255, 0, 0))
    bay.paste((0, 0, 255), (6, 2, 14, 10))
    assert engine.label(bay, "colour") == found  # the centre alone


def test_the_engine_says_which_of_the_two_a_task_gives(bundle: Path, tmp_path: Path) -> None:
    engine = Engine(bundle, backbone=Mean())
    picture = Image.new("RGB", (20, 12))
    refused = r"The task 'colour' \(classification\) gives a label, not a picture\. In Python"
    with pytest.raises(ValueError, match=refused):
        engine.run(picture, "colour")
    with pytest.raises(
        ValueError, match=r"The task 'paint' \(restoration\) gives a picture, not a label; use Engine.run"
    ):
        engine.label(picture, "paint")
    with pytest.raises(ValueError, match=refused):  # before any file is read
        next(run_files(engine, "colour", {tmp_path / "none.png": tmp_path / "out.png"}, drawing=False))


def test_training_learns_the_classes_and_draws_no_sheets(tmp_path: Path) -> None:
    random = np.random.default_rng(1)

    def example(number: int) -> Example:
        pixels = random.integers(0, 120, (3, 8, 10), dtype=np.uint8)
        pixels[2 * (number % 2)] += 60
        return Example(name=str(number), image=torch.from_numpy(pixels), category=number % 2)

    examples = [example(number) for number in range(12)]
    config = sn.Learning(
        view=View(crop=8), recipe=sn.Recipe(steps=60, batch=6, lr=0.1), folder=tmp_path, trainer=sn.Settings(samples=4)
    )
    task = Classification(classes=("red", "blue"))
    data = sn.Splits(train=examples[:8], validation=examples[8:])
    net = sn.learn(sn.MultiTaskNet(Mean(), decoder=()), task, data, name="colour", config=config)
    assert net.records["colour"].metrics["scores"] == {"accuracy": 100.0, "class_accuracy": 100.0}
    assert "validation/accuracy" in (tmp_path / "fit-0" / "metrics.csv").read_text()
    assert not list(tmp_path.rglob("*.png"))
