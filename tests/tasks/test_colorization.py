"""Colouring: full-range BT.601 against known values and Pillow, the joined luma, gray photos."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stencilnet.tasks.colorization import Colorization, is_gray
from stencilnet.tasks.task import Example
from stencilnet.tasks.ycbcr import luma, rgb_to_ycbcr, ycbcr_to_rgb


def pixel(*levels: float) -> Tensor:
    return torch.tensor(levels).view(3, 1, 1)


def colours() -> Tensor:
    """RGB levels 0-255 on a grid with all corners, (3, 1, n)."""
    steps = torch.arange(0, 256, 15.0)
    return torch.cartesian_prod(steps, steps, steps).T[:, None]


def photo() -> Tensor:
    return torch.randint(0, 256, (3, 24, 31), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("rgb", "ycbcr"),
    [
        ((200, 100, 50), (124.2, 86.126, 182.066)),
        ((255, 255, 255), (255, 128, 128)),
        ((0, 0, 0), (0, 128, 128)),
        ((255, 0, 0), (76.245, 84.97232, 255.5)),
    ],
)
def test_conversion_is_jfif(rgb: tuple[int, ...], ycbcr: tuple[float, ...]) -> None:
    assert rgb_to_ycbcr(pixel(*map(float, rgb))).flatten().tolist() == pytest.approx(ycbcr, abs=1e-3)


def test_conversion_is_pillows_which_rounds_down() -> None:
    rgb = colours()
    image = Image.fromarray(rgb.permute(1, 2, 0).to(torch.uint8).numpy())
    pillow = np.asarray(image.convert("YCbCr")).astype(float)
    ours = rgb_to_ycbcr(rgb).permute(1, 2, 0).clamp(0, 255).numpy()
    assert np.abs(pillow + 0.5 - ours).max() < 0.55


def test_round_trip_through_8_bits_moves_no_level_by_more_than_one() -> None:
    rgb = colours()
    exact = ycbcr_to_rgb(rgb_to_ycbcr(rgb))
    assert (exact - rgb).abs().max() < 0.01
    stored = ycbcr_to_rgb(rgb_to_ycbcr(rgb).round().clamp(0, 255)).round().clamp(0, 255)
    assert (stored - rgb).abs().max() <= 1


def test_sample_is_luma_and_scaled_chroma() -> None:
    image = pixel(200, 100, 50).to(torch.uint8).expand(3, 4, 5)
    task = Colorization()
    sample = task.prepare(task.sample(Example(name="a", image=image)))
    assert sample["input"].shape == (3, 4, 5)
    assert sample["target"].shape == (2, 4, 5)
    torch.testing.assert_close(sample["input"], torch.full((3, 4, 5), 124.2 / 255))
    assert sample["target"][:, 2, 2].tolist() == pytest.approx([(86.126 - 128) / 128, (182.066 - 128) / 128], abs=1e-5)
    torch.testing.assert_close(sample["image"], image / 255)


def test_inputs_of_photos_are_those_of_samples() -> None:
    task, image = Colorization(), photo()
    shown = Image.fromarray(image.permute(1, 2, 0).numpy())
    assert np.array_equal(task.to_input(shown), task.prepare(task.sample(Example(name="a", image=image)))["input"])
    gray = shown.convert("L").convert("RGB")
    np.testing.assert_allclose(task.to_input(gray)[0], np.array(gray.convert("L")) / np.float32(255), rtol=1e-5)


def test_loss_is_the_mean_squared_error_of_chroma() -> None:
    rng = np.random.default_rng(0)
    output, target = rng.standard_normal((2, 2, 5, 6)), rng.standard_normal((2, 2, 5, 6))
    found = Colorization().loss(torch.from_numpy(output).float(), {"target": torch.from_numpy(target).float()}, None)
    assert float(found["l2"]) == pytest.approx(np.mean((output - target) ** 2), rel=1e-5)


def test_pictures_keep_the_inputs_luma() -> None:
    image = np.full((3, 6, 6), 0.5, np.float32)
    chroma = np.stack([np.full((6, 6), 0.1, np.float32), np.full((6, 6), -0.2, np.float32)])
    picture = torch.from_numpy(np.array(Colorization().to_image(chroma, image))).permute(2, 0, 1) / 255
    torch.testing.assert_close(luma(picture), torch.full((1, 6, 6), 0.5), atol=0.6 / 255, rtol=0)
    ycbcr = rgb_to_ycbcr(255 * picture)[:, 0, 0].tolist()
    assert ycbcr[1:] == pytest.approx([128 + 12.8, 128 - 25.6], abs=1)


def test_pictures_clamp_wild_outputs() -> None:
    wild = np.array(Colorization().to_image(np.full((2, 3, 3), 50, np.float32), np.full((3, 3, 3), 0.5, np.float32)))
    assert wild[0, 0].tolist() == [255, 0, 255]


def test_metrics_are_those_of_the_clamped_picture() -> None:
    scores = Colorization().scores()
    sample = {
        "input": torch.full((1, 3, 12, 12), 0.5),
        "target": torch.zeros(1, 2, 12, 12),
        "image": torch.zeros(1, 3, 12, 12),
    }
    scores.update(torch.full((1, 2, 12, 12), 50.0), sample)
    assert scores.compute()["MSE"] == pytest.approx(255**2 * 2 / 3)


def test_gray_baseline_scores_what_gray_scores() -> None:
    task, image = Colorization(), photo()
    sample = {name: part[None] for name, part in task.prepare(task.sample(Example(name="a", image=image))).items()}
    scores = task.scores()
    scores.update(task.baseline([])(sample), sample)
    levels = image.double().numpy()
    gray = np.tensordot([0.299, 0.587, 0.114], levels, axes=1)
    cb, cr = (levels[2] - gray) / 1.772, (levels[0] - gray) / 1.402
    found = scores.compute()
    assert found["MSE"] == pytest.approx(np.mean((levels - gray) ** 2), rel=1e-4)
    assert found["MSE_CbCr"] == pytest.approx((np.mean(cb**2) + np.mean(cr**2)) / 2, rel=1e-4)


@pytest.mark.parametrize(("spread", "gray"), [(0, True), (4, True), (5, False), (255, False)])
def test_gray_photos_are_told(spread: int, gray: bool) -> None:
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    image[:, 2:, 2:] = 130
    image[1, 5, 5] = 130 - spread if spread < 130 else 0
    image[0, 5, 5] = 130 if spread < 130 else 255
    assert is_gray(Example(name="a", image=image)) is gray
