"""Segmentation: loss against NumPy, labels, palettes, the majority baseline, settings."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stencilnet.kinds.segmentation import voc_colour
from stencilnet.pictures.labels import VOID
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Example

CLASSES = ("background", "cat", "dog")


def example(label: Tensor | None, name: str = "cats/001.png") -> Example:
    return Example(name=name, image=torch.zeros(3, 6, 8, dtype=torch.uint8), label=label)


def batch(label: Tensor) -> dict[str, Tensor]:
    return {"input": torch.zeros(label.shape[0], 3, *label.shape[1:]), "target": label}


@pytest.mark.parametrize("weights", [(), (0.5, 1.0, 4.0), (0.0, 0.001, 0.0)])
def test_loss_is_the_weighted_mean_over_labelled_pixels(weights: tuple[float, ...]) -> None:
    rng = np.random.default_rng(1)
    logits, label = rng.standard_normal((2, 3, 5, 7)), rng.integers(0, 3, (2, 5, 7))
    label[:, 2:4, 1:5] = VOID
    task = Segmentation(classes=CLASSES, class_weights=weights)
    found = task.loss(torch.from_numpy(logits).float(), batch(torch.from_numpy(label)), None)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    total = weight = 0.0
    for n, y, x in np.argwhere(label != VOID):
        w = (weights or (1.0, 1.0, 1.0))[label[n, y, x]]
        total, weight = total - w * log_p[n, label[n, y, x], y, x], weight + w
    assert found.keys() == {"cross_entropy"}
    assert float(found["cross_entropy"]) == pytest.approx(total / weight, rel=1e-5)


def test_loss_of_void_alone_is_zero_and_moves_nothing() -> None:
    output = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = Segmentation(classes=CLASSES).loss(output, batch(torch.full((1, 4, 4), VOID)), None)["cross_entropy"]
    (gradient,) = torch.autograd.grad(loss, output)
    assert loss.item() == 0
    assert not gradient.any()


def test_sample_keeps_indices_and_void() -> None:
    label = torch.tensor([[0, 1, 2, 255, 0, 0, 0, 0]] * 6, dtype=torch.uint8)
    task = Segmentation(classes=CLASSES)
    target = task.prepare(task.sample(example(label)))["target"]
    assert target.dtype == torch.int64
    assert target.tolist() == label.tolist()


def test_label_out_of_range_is_an_error_that_says_all() -> None:
    label = torch.zeros(6, 8, dtype=torch.uint8)
    label[0, :2] = 3
    expected = (
        r"Example `cats/001.png`: expected labels to be indices below 3 \(background ... dog\) or 255 \(void\), "
        r"but got 3 in 2 of 48 pixels .*Map the labels to these classes"
    )
    with pytest.raises(ValueError, match=expected):
        Segmentation(classes=CLASSES).sample(example(label))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, r"`cats/001.png`: expected labels, but it has none. Use labelled data"),
        (torch.zeros(6, 8, dtype=torch.int64), r"uint8 class indices \(H, W\), but got torch.int64"),
        (torch.zeros(3, 6, 8, dtype=torch.uint8), r"but got torch.uint8 of shape \(3, 6, 8\)"),
        (torch.zeros(8, 6, dtype=torch.uint8), r"its label to be as large as its image, 8x6 px, but got 6x8 px"),
    ],
)
def test_labels_that_are_none_are_refused(label: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Segmentation(classes=CLASSES).sample(example(label))


def test_majority_is_of_labelled_pixels_of_all_samples() -> None:
    task = Segmentation(classes=CLASSES)
    labels = [torch.full((4, 4), VOID), torch.full((4, 4), 1), torch.full((4, 6), 2)]
    predict = task.baseline([{"target": label} for label in labels])
    output = predict({"input": torch.zeros(2, 3, 5, 7)})
    assert output.shape == (2, 3, 5, 7)
    assert (output.argmax(dim=1) == 2).all()
    with pytest.raises(ValueError, match="the training samples have none"):
        task.baseline([{"target": labels[0]}])


def test_colour_map_is_pascal_vocs() -> None:
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: voc_colour(index) for index in known} == known
    assert len({voc_colour(index) for index in range(256)}) == 256


@pytest.mark.parametrize("palette", [(), ((1, 2, 3), (40, 50, 60), (7, 8, 9))])
def test_pictures_hold_indices_and_show_colours(palette: tuple[tuple[int, int, int], ...]) -> None:
    task = Segmentation(classes=CLASSES, palette=palette)
    label = torch.tensor([[0, 1, 2], [2, 1, VOID]])
    picture = task.target_image({"target": label})
    assert picture.mode == "P"
    assert np.asarray(picture).tolist() == label.tolist()
    colours = palette or tuple(voc_colour(index) for index in range(3))
    shown = np.asarray(picture.convert("RGB"))
    assert [tuple(shown[0, index]) for index in range(3)] == list(colours)
    assert tuple(shown[1, 2]) == (224, 224, 192)
    logits = np.moveaxis(np.eye(3, dtype=np.float32)[label[:1].numpy()], 2, 0)
    likeliest = task.to_image(logits, np.zeros((3, 1, 3), np.float32))
    assert np.asarray(likeliest).tolist() == [[0, 1, 2]]


def test_all_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"^Expected segmentation's `classes` to have no empty") as caught:
        Segmentation(
            classes=("cat", "", "cat"),
            palette=((0, 0, 300), (0, 0, 0)),
            class_weights=(-1.0,),
            boundary_tolerance=-2,
        )
    message = str(caught.value)
    for part in (
        "no empty name",
        "got more than one 'cat'",
        "a colour for each of the 3 classes or to be empty, but got 2",
        "(R, G, B) in 0-255, but got (0, 0, 300)",
        "a weight for each of the 3 classes or to be empty, but got 1",
        "finite, not negative and not all zero, but got (-1.0,)",
        "at least 0 px, but got -2",
        "two classes (not boundary, boundary), but there are 3",
    ):
        assert part in message
    with pytest.raises(ValueError, match="2 to 255 classes, but got 256"):
        Segmentation(classes=tuple(map(str, range(256))))


def test_lists_are_as_good_as_tuples() -> None:
    from_json = Segmentation(classes=["a", "b"], palette=[[1, 2, 3], [4, 5, 6]])  # type: ignore[arg-type, list-item]
    assert from_json == Segmentation(classes=("a", "b"), palette=((1, 2, 3), (4, 5, 6)))
    assert hash(from_json) == hash(Segmentation(classes=("a", "b"), palette=((1, 2, 3), (4, 5, 6))))


def test_metrics_say_what_they_count() -> None:
    iou, accuracy = Segmentation(classes=CLASSES).metrics
    assert (iou.name, accuracy.name) == ("mIoU", "pixel_accuracy")
    assert "3 classes" in iou.note
    assert iou.note.startswith("%")
    boundary = Segmentation(classes=("flat", "boundary"), boundary_tolerance=3).metrics[0]
    assert boundary.name == "boundary_F1"
    assert "within 3 px" in boundary.note
