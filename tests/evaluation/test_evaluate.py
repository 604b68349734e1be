import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stencilnet.evaluation.evaluate import evaluate
from stencilnet.models import MultiTaskNet, UNet
from stencilnet.tasks.restoration import Restoration
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.task import Sample

TASK = Segmentation(classes=("ground", "sky", "tree"))
RESTORE = Restoration()


def labelled(*sizes: tuple[int, int], seed: int = 0) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for height, width in sizes:
        target = torch.randint(0, 3, (height, width), generator=generator)
        target[0, 0] = 255
        order = torch.rand(3, height, width, generator=generator).argsort(dim=0)  # no ties between channels
        samples.append({"input": (100 * order).to(torch.uint8), "target": target.to(torch.uint8)})
    return samples


def answer(sample: Sample) -> Tensor:
    """A fixed "network": the logits are the input's channels."""
    return sample["input"]


def numpy_miou(samples: list[dict[str, Tensor]]) -> float:
    counts = np.zeros((3, 3))
    for sample in samples:
        guess, truth = sample["input"].numpy().argmax(0), sample["target"].numpy()
        for row, column in zip(truth[truth != 255], guess[truth != 255], strict=True):
            counts[row, column] += 1
    hits = np.diag(counts)
    return float(100 * (hits / (counts.sum(0) + counts.sum(1) - hits)).mean())


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_a_split_of_mixed_sizes_is_measured_whole(batch: int) -> None:
    samples = labelled((32, 48), (32, 48), (33, 17), (32, 48), (32, 48), (32, 48))
    scores = evaluate(answer, TASK, samples, batch=batch)
    assert scores["mIoU"] == pytest.approx(numpy_miou(samples), abs=1e-4)


def test_only_neighbours_of_one_size_share_a_batch_in_order() -> None:
    samples = labelled((4, 4), (4, 4), (4, 4), (4, 6), (4, 4), (4, 4))
    seen: list[Tensor] = []

    def watch(sample: Sample) -> Tensor:
        seen.append(sample["input"])
        return sample["input"]

    evaluate(watch, TASK, samples, batch=2)
    assert [len(batch) for batch in seen] == [2, 1, 1, 2]
    flat = [image for batch in seen for image in batch]
    assert all(torch.equal(a, b["input"] / 255) for a, b in zip(flat, samples, strict=True))


def test_photos_are_run_one_by_one_where_sixteen_would_not_fit() -> None:
    """Six photos of 1200x900 were once one batch of 6.5 million pixels, in a network with 64 channels to each."""
    photo = {"input": torch.zeros(3, 900, 1200, dtype=torch.uint8), "target": torch.zeros(900, 1200, dtype=torch.uint8)}
    seen: list[torch.Size] = []

    def watch(sample: Sample) -> Tensor:
        seen.append(sample["input"].shape)
        return sample["input"]

    evaluate(watch, TASK, [photo] * 6, batch=16)
    assert seen == [(1, 3, 900, 1200)] * 6


def test_pictures_of_256_pixels_are_run_by_sixteen() -> None:
    seen: list[int] = []

    def watch(sample: Sample) -> Tensor:
        seen.append(len(sample["input"]))
        return sample["input"]

    evaluate(watch, TASK, labelled(*[(256, 256)] * 17), batch=16)
    assert seen == [16, 1]


@pytest.mark.parametrize("norm", ["instance", "affine"])
@pytest.mark.parametrize("task", [TASK, RESTORE], ids=["segmentation", "restoration"])
def test_a_network_measures_the_same_whatever_the_batches(norm: str, task: Segmentation | Restoration) -> None:
    torch.manual_seed(0)
    module = UNet(width=4, channels=3, norm=norm).eval()
    samples = labelled(*[(32, 48)] * 9, (40, 32), *[(32, 48)] * 7)
    if task is RESTORE:
        samples = [{"input": sample["input"], "target": sample["input"].flip(0)} for sample in samples]

    def measured(batch: int, pixels: int) -> dict[str, float]:
        return evaluate(lambda sample: module(sample["input"]), task, samples, batch=batch, pixels=pixels)

    alone = measured(1, 1)
    for bound in (32 * 48, 3 * 32 * 48, 2**20):
        assert measured(16, bound) == pytest.approx(alone, rel=1e-5)


def test_progress_counts_samples() -> None:
    told: list[tuple[int, int]] = []
    evaluate(answer, TASK, labelled((4, 4), (4, 4), (4, 4)), batch=2, on_batch=lambda *now: told.append(now))
    assert told == [(2, 3), (3, 3)]


def test_a_trivial_baseline_goes_through_the_same_door() -> None:
    samples = labelled((8, 8), (8, 8))
    for sample in samples:
        sample["target"][:, :6] = 1
    predict = TASK.baseline(map(TASK.prepare, samples))
    scores = evaluate(predict, TASK, samples, batch=2)
    shares = np.mean([(s["target"] == 1).double().mean().item() for s in samples])
    assert scores["mIoU"] == pytest.approx(100 * shares / 3, abs=1e-4)  # the other two classes are missed wholly


def test_a_perfect_answer_reaches_the_optimum() -> None:
    image = torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    samples = [{"input": image, "target": image}]
    scores = evaluate(RESTORE.baseline(map(RESTORE.prepare, samples)), RESTORE, samples)
    assert scores["MSE"] == 0
    assert scores["SSIM"] == pytest.approx(1)


def test_a_trained_network_is_measured_without_gradients_and_stays_trainable() -> None:
    net = MultiTaskNet(UNet(width=2, channels=3))
    module = net.backbone.requires_grad_(True)
    made: list[nn.Parameter] = []

    def predict(sample: Sample) -> Tensor:
        if not made:  # what is built lazily during a test may be trained later
            made.append(nn.Parameter(torch.ones(1)))
        output: Tensor = module(sample["input"]) * made[0]
        assert not output.requires_grad
        return output

    evaluate(predict, TASK, labelled((32, 32), (32, 32)), batch=2)
    (made[0] * 2).sum().backward()
    assert made[0].grad is not None
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("samples", "batch", "message"),
    [
        ([], 1, "at least one sample to evaluate the segmentation task on, but the split is empty"),
        (labelled((4, 4)), 0, "`batch` to be at least 1, but got 0"),
    ],
)
def test_refused(samples: list[dict[str, Tensor]], batch: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(answer, TASK, samples, batch=batch)


def test_no_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="`pixels` to be at least 1, but got 0"):
        evaluate(answer, TASK, labelled((4, 4)), pixels=0)


def test_another_tasks_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outputs to be \(1, 3, ...\) .* but got \(1, 2, 4, 4\). Check that"):
        evaluate(lambda sample: sample["input"][:, :2], TASK, labelled((4, 4)))
