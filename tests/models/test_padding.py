"""Padding to sides the U-Net can halve, against numpy.pad."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stencilnet.graphs import padding
from stencilnet.graphs.padding import padded_side
from stencilnet.models.padding import crop, pad

sides = st.integers(1, 70)


@pytest.mark.parametrize(
    ("side", "expected"),
    [(1, 32), (15, 32), (16, 32), (31, 32), (32, 32), (33, 48), (48, 48), (49, 64), (480, 480), (481, 496)],
)
def test_sides_become_multiples_of_16_and_at_least_32(side: int, expected: int) -> None:
    assert padded_side(side) == expected


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(height=sides, width=sides)
def test_pad_is_numpys_reflect_where_it_fits_and_edge_elsewhere(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    expected = x.numpy()
    for axis, side in ((2, height), (3, width)):
        total = max(32, -(-side // 16) * 16) - side
        amounts = [(0, 0)] * 4
        amounts[axis] = (total // 2, total - total // 2)
        fits = total - total // 2 <= side - 1
        expected = np.pad(expected, amounts, mode="reflect" if fits else "edge")
    padded = pad(x)
    np.testing.assert_array_equal(padded.numpy(), expected)
    assert torch.equal(crop(padded, height, width), x)
    image = x[0].numpy()
    np.testing.assert_array_equal(padding.pad(image), expected[0])
    np.testing.assert_array_equal(padding.crop(expected[0], height, width), image)


@pytest.mark.parametrize(("side", "mirrored"), [(11, False), (12, True), (16, True), (33, True)])
def test_which_sides_are_mirrored(side: int, mirrored: bool) -> None:
    row = torch.arange(float(side)).view(1, 1, 1, side)
    first = pad(row)[0, 0, 0, : (padded_side(side) - side) // 2]
    assert (len(set(first.tolist())) > 1) == mirrored


@pytest.mark.parametrize("shape", [(32, 32), (48, 64), (480, 32)])
def test_fitting_sides_are_left_alone(shape: tuple[int, int]) -> None:
    x = torch.rand(1, 3, *shape)
    assert pad(x) is x
