"""What a stand-in for VGG is calibrated on."""

import pytest
import torch

from stencilnet.learning.styles import calibration_image
from stencilnet.tasks.task import Example
from stencilnet.training.sampling import PIXELS


def photo(height: int, width: int) -> Example:
    image = torch.arange(3 * height * width, dtype=torch.int64).remainder(251).to(torch.uint8)
    return Example(name="photo", image=image.view(3, height, width), label=torch.zeros(height, width))


@pytest.mark.parametrize("size", [(40, 60), (1024, 1024)])
def test_photos_are_taken_as_they_are(size: tuple[int, int]) -> None:
    example = photo(*size)
    assert torch.equal(calibration_image(example), example.image.float() / 255)


@pytest.mark.parametrize("size", [(1200, 900), (2000, 3000)])
def test_large_photos_are_shrunk(size: tuple[int, int]) -> None:
    height, width = calibration_image(photo(*size)).shape[1:]
    assert 0.99 * PIXELS < height * width <= PIXELS
    assert height / width == pytest.approx(size[0] / size[1], rel=2e-3)
