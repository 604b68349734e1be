"""Metrics against NumPy, SciPy and scikit-image."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.metrics import contingency_table, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from stencilnet.tasks.metrics import BoundaryF1, Confusion, MeanOverImages, mse, psnr, ssim, within

Levels = NDArray[np.float64]


def pictures(kind: str, height: int = 37, width: int = 53) -> tuple[Tensor, Tensor]:
    """Two batches (2, 3, H, W) in [0, 1]: a truth, and a disturbed version of it."""
    rng = np.random.default_rng(4)
    ramp = np.linspace(0, 1, height)[:, None] * np.linspace(0.2, 1, width)
    truth = {
        "ramp": np.stack([ramp, 1 - ramp, 0.5 * ramp]),
        "noise": rng.random((3, height, width)),
        "flat": np.full((3, height, width), 0.7),
    }[kind]
    both = np.stack([truth, truth[:, ::-1]])
    disturbed = np.clip(both + 0.1 * rng.standard_normal(both.shape), 0, 1)
    return torch.from_numpy(disturbed).float(), torch.from_numpy(both).float()


def levels(batch: Tensor, index: int) -> Levels:
    return 255 * batch[index].double().permute(1, 2, 0).numpy()


def reference_ssim(prediction: Tensor, truth: Tensor, index: int) -> float:
    found: float = structural_similarity(
        levels(prediction, index),
        levels(truth, index),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
    )
    return found


@pytest.mark.parametrize("kind", ["ramp", "noise", "flat"])
@pytest.mark.parametrize(("height", "width"), [(37, 53), (11, 64), (48, 48)])
def test_ssim_is_scikit_images(kind: str, height: int, width: int) -> None:
    prediction, truth = pictures(kind, height, width)
    found = ssim(prediction, truth)
    assert found.shape == (2,)
    for index in range(2):
        assert float(found[index]) == pytest.approx(reference_ssim(prediction, truth, index), abs=1e-6)
    assert float(found.max()) < 0.99


def test_ssim_of_equal_images_is_one_and_keeps_its_precision_under_autocast() -> None:
    prediction, truth = pictures("ramp")
    assert ssim(truth, truth).tolist() == pytest.approx([1, 1], abs=1e-9)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ssim(prediction, truth), ssim(prediction, truth))
        half = ssim(prediction, truth)
    assert torch.equal(half, ssim(prediction, truth))


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    small = torch.rand(1, 3, 10, 64)
    with pytest.raises(ValueError, match="at least 11x11 px, the window of SSIM, but got 64x10 px"):
        ssim(small, small)


@pytest.mark.parametrize("kind", ["ramp", "noise"])
def test_mse_and_psnr_are_those_of_0_to_255(kind: str) -> None:
    prediction, truth = pictures(kind)
    for index in range(2):
        a, b = levels(prediction, index), levels(truth, index)
        assert float(mse(prediction, truth)[index]) == pytest.approx(float(np.mean((a - b) ** 2)), rel=1e-5)
        expected = peak_signal_noise_ratio(b, a, data_range=255)
        assert float(psnr(prediction, truth)[index]) == pytest.approx(expected, rel=1e-5)


def test_mean_is_over_images_whatever_their_batch_or_size() -> None:
    scores = MeanOverImages(lambda output, sample: {"MSE": mse(output, sample["target"])})
    for count, size, error in [(3, 16, 0.1), (1, 64, 0.5)]:
        truth = torch.zeros(count, 3, size, size)
        scores.update((truth + error).requires_grad_(), {"target": truth})
    expected = (3 * (0.1 * 255) ** 2 + (0.5 * 255) ** 2) / 4
    assert scores.compute() == pytest.approx({"MSE": expected}, rel=1e-6)


def test_mean_of_no_images_is_refused() -> None:
    scores = MeanOverImages(lambda output, sample: {"MSE": mse(output, output)})
    with pytest.raises(ValueError, match="at least one image to measure, but got none"):
        scores.compute()


def test_mean_iou_by_hand() -> None:
    # Class 2 is predicted on void pixels only: left out. Class 3 is predicted once and nowhere true: counts 0.
    label = torch.tensor([[[0, 0, 1, 255], [1, 1, 0, 255]]])
    predicted = torch.tensor([[[0, 1, 1, 2], [1, 3, 0, 2]]])
    confusion = Confusion(4)
    confusion.update(predicted, label)
    assert confusion.mean_iou() == pytest.approx(100 * (2 / 3 + 2 / 4 + 0) / 3, rel=1e-6)
    assert confusion.accuracy() == pytest.approx(100 * 4 / 6)


def test_mean_iou_is_of_one_matrix_over_the_split() -> None:
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 7, (6, 9, 11)), rng.integers(0, 6, (6, 9, 11))
    label[rng.random(label.shape) < 0.2] = 255
    label[:3], predicted[:3] = np.minimum(label[:3], 3), np.minimum(predicted[:3], 4)
    confusion = Confusion(8)
    for part in (slice(0, 1), slice(1, 6)):
        confusion.update(torch.from_numpy(predicted[part]), torch.from_numpy(label[part]))
    seen, said = label[label != 255], predicted[label != 255]
    ious = []
    for index in range(8):
        union = ((seen == index) | (said == index)).sum()
        if union:
            ious.append(((seen == index) & (said == index)).sum() / union)
    assert len(ious) == 7
    assert confusion.mean_iou() == pytest.approx(100 * np.mean(ious), rel=1e-6)
    assert confusion.accuracy() == pytest.approx(100 * (seen == said).mean(), rel=1e-9)


def test_the_matrix_is_scikit_images() -> None:
    rng = np.random.default_rng(1)
    label, predicted = rng.choice(5, (4, 30, 20), p=[0.5, 0.2, 0.15, 0.1, 0.05]), rng.integers(0, 5, (4, 30, 20))
    label[rng.random(label.shape) < 0.3] = 255
    confusion = Confusion(5)
    for true, said in zip(label, predicted, strict=True):
        confusion.update(torch.from_numpy(said)[None], torch.from_numpy(true)[None])
    expected = contingency_table(label, predicted, ignore_labels=[255], normalize=False).toarray()[:5]
    hits, seen, said = expected.diagonal(), expected.sum(1), expected.sum(0)
    assert confusion.mean_iou() == pytest.approx(100 * np.mean(hits / (seen + said - hits)), rel=1e-12)
    assert confusion.accuracy() == 100 * int(hits.sum()) / int(expected.sum())


def test_a_large_split_is_counted_exactly() -> None:
    """Counts past 2^24, where single precision would lose pixels."""
    confusion = Confusion(2)
    confusion.update(torch.zeros(1, 4096, 4097, dtype=torch.long), torch.zeros(1, 4096, 4097, dtype=torch.long))
    confusion.update(torch.tensor([[[1]]]), torch.tensor([[[0]]]))
    assert confusion.mean_iou() == pytest.approx(100 * (4096 * 4097 / (4096 * 4097 + 1)) / 2, rel=1e-12)


def test_confusion_of_void_alone_is_refused() -> None:
    confusion = Confusion(3)
    confusion.update(torch.zeros(1, 4, 4, dtype=torch.long), torch.full((1, 4, 4), 255))
    for measure in (confusion.mean_iou, confusion.accuracy):
        with pytest.raises(ValueError, match=r"at least one labelled pixel .* labels are not all void"):
            measure()


@pytest.mark.parametrize("distance", [0, 1, 2, 5])
def test_within_is_euclidean(distance: int) -> None:
    marked = np.random.default_rng(distance).random((2, 23, 31)) < 0.02
    expected = np.stack([distance_transform_edt(~one) <= distance for one in marked])
    np.testing.assert_array_equal(within(torch.from_numpy(marked), distance).numpy(), expected)


def line(column: int) -> Tensor:
    marked = torch.zeros(1, 20, 20, dtype=torch.bool)
    marked[:, :, column] = True
    return marked


@pytest.mark.parametrize(("shift", "expected"), [(0, 100.0), (2, 100.0), (3, 0.0)])
def test_boundary_f1_forgives_its_tolerance_and_no_more(shift: int, expected: float) -> None:
    scores = BoundaryF1(2)
    scores.update(line(8 + shift), line(8), torch.ones(1, 20, 20, dtype=torch.bool))
    assert scores.compute() == expected


def test_boundary_f1_by_hand() -> None:
    # Predicted: the true line and one far away: precision 20/40. True: two lines, one of them found: recall 20/40.
    # Then an image with a predicted line on void pixels, which do not count: nothing changes.
    scores, all_labelled = BoundaryF1(1), torch.ones(1, 20, 20, dtype=torch.bool)
    scores.update(line(3) | line(17), line(4) | line(10), all_labelled)
    scores.update(line(9), line(0) & False, ~line(9))
    assert scores.compute() == pytest.approx(50.0)
    # A line predicted where none is: precision 20/60.
    scores.update(line(9), line(0) & False, all_labelled)
    assert scores.compute() == pytest.approx(100 * 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))


def test_boundary_f1_is_over_the_split() -> None:
    rng = np.random.default_rng(2)
    predicted, true = rng.random((4, 25, 30)) < 0.03, rng.random((4, 25, 30)) < 0.02
    labelled = rng.random((4, 25, 30)) < 0.9
    true &= labelled
    scores = BoundaryF1(2)
    for part in (slice(0, 1), slice(1, 4)):
        scores.update(*(torch.from_numpy(array[part]) for array in (predicted, true, labelled)))
    counted = predicted & labelled
    to_true = np.stack([distance_transform_edt(~one) for one in true])
    to_predicted = np.stack([distance_transform_edt(~one) for one in counted])
    precision, recall = (to_true[counted] <= 2).mean(), (to_predicted[true] <= 2).mean()
    assert 0 < precision < 1
    assert scores.compute() == pytest.approx(100 * 2 * precision * recall / (precision + recall))


def test_boundary_f1_without_any_boundary_is_perfect() -> None:
    scores, nothing = BoundaryF1(2), torch.zeros(1, 8, 8, dtype=torch.bool)
    scores.update(nothing, nothing, ~nothing)
    assert scores.compute() == 100.0
    scores.update(nothing, ~nothing, ~nothing)
    assert scores.compute() == 0.0
