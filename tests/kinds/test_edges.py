"""Edge drawings against scikit-image and hand-made images."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut, camera
from skimage.feature import canny
from skimage.filters import apply_hysteresis_threshold
from skimage.morphology import dilation
from skimage.morphology import thin as reference_thin

from stencilnet.kinds.edges import find_edges, follow, thin

Bits = NDArray[np.bool_]
Floats = NDArray[np.float32]


def edges(gray: NDArray[np.floating]) -> Bits:
    return find_edges(gray.astype(np.float32), sigma=1.4, low=0.05, high=0.1)


def photos() -> list[Floats]:
    colour = astronaut()[:300, :260] @ np.array([0.299, 0.587, 0.114])
    return [(gray / 255).astype(np.float32) for gray in (colour, camera()[100:400, 100:420])]


@pytest.mark.parametrize("number", [0, 1])
def test_edges_are_cannys(number: int) -> None:
    gray = photos()[number]
    found = edges(gray)
    # scikit-image does not divide Sobel's sums by 4, finds crests by interpolation and does not thin.
    reference = canny(gray, sigma=1.4, low_threshold=0.2, high_threshold=0.4)
    near = np.ones((3, 3), dtype=bool)
    assert found.sum() > 1000
    assert (found & dilation(reference, near)).sum() / found.sum() > 0.97
    assert (reference & dilation(found, near)).sum() / reference.sum() > 0.97


@pytest.mark.parametrize("number", [0, 1])
def test_lines_are_one_pixel_wide(number: int) -> None:
    found = edges(photos()[number])
    np.testing.assert_array_equal(reference_thin(found), found)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_step_is_one_line_where_it_is(axis: int) -> None:
    step = np.zeros((30, 40), dtype=np.float32)
    if axis == 0:
        step[12:] = 0.5
    else:
        step[:, 12:] = 0.5
    found = edges(step)
    lines = np.flatnonzero(found.any(axis=1 - axis))
    assert lines.tolist() in ([11], [12])
    assert found.sum() == found.shape[1 - axis] - 2


def test_contrast_decides_and_is_that_of_the_step() -> None:
    step = np.zeros((30, 40), dtype=np.float32)
    step[:, 20:] = 0.3
    options = {"sigma": 0.1, "low": 0.29}  # hardly any smoothing
    assert find_edges(step, high=0.299, **options).any()
    assert not find_edges(step, high=0.301, **options).any()
    assert not edges(np.full((30, 40), 0.4)).any()


def test_following_is_hysteresis() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        strength = rng.random((40, 50))
        strength[[0, -1]] = 0
        strength[:, [0, -1]] = 0
        expected = _eight_connected(strength)
        np.testing.assert_array_equal(follow(strength > 0.6, strength > 0.95), expected)


def _eight_connected(strength: NDArray[np.float64]) -> Bits:
    from scipy.ndimage import label

    parts, _ = label(strength > 0.6, structure=np.ones((3, 3)))
    kept = np.isin(parts, np.setdiff1d(parts[strength > 0.95], [0]))
    four = apply_hysteresis_threshold(strength, 0.6, 0.95)
    assert (four <= kept).all()
    return kept


def test_thinning_is_guo_and_halls() -> None:
    rng = np.random.default_rng(0)
    for share in (0.3, 0.6, 0.9):
        lines = rng.random((40, 60)) < share
        np.testing.assert_array_equal(thin(lines), reference_thin(lines))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3), (5, 1)])
def test_tiny_images_have_no_edges_or_some_but_never_fail(size: tuple[int, int]) -> None:
    found = edges(np.random.default_rng(0).random(size))
    assert found.shape == size
    assert not found[[0, -1]].any()
    assert not found[:, [0, -1]].any()
