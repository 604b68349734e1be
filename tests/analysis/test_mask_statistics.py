import numpy as np
import pytest
import torch

from stencilnet.analysis.masks import Overlap, overlap, overlaps, similarity, total, zero_ratio, zero_ratios
from stencilnet.masks import BitMask


def masks_of(density: float, seed: int, *shapes: tuple[int, ...]) -> dict[str, BitMask]:
    generator = torch.Generator().manual_seed(seed)
    return {
        f"conv{n}.weight": BitMask.pack(torch.rand(shape, generator=generator) < density)
        for n, shape in enumerate(shapes)
    }


def mask(*bits: int) -> BitMask:
    return BitMask.pack(torch.tensor(bits).bool())


SHAPES = ((3, 3, 3, 3), (7, 5), (1,), (200, 499))  # 81, 35, 1 and 99,800 bits: most are no multiple of 8


def test_the_ratio_of_zero_by_layer_and_over_all() -> None:
    task = {"a": mask(1, 0, 0, 0), "b": mask(1, 1, 1, 1, 1, 1, 1, 0, 0, 0)}
    assert zero_ratios(task) == {"a": 0.75, "b": pytest.approx(0.3)}
    assert list(zero_ratios(task)) == ["a", "b"]
    assert zero_ratio(task) == pytest.approx(6 / 14)  # by weights, not the mean of layers


def test_a_hand_computed_table() -> None:
    # Cohen's classic example: 20 both yes, 15 both no, 5 only the first, 10 only the second.
    table = Overlap(weights=50, first=25, second=30, both=20)
    assert table.agreement == pytest.approx(0.7)
    assert table.kappa == pytest.approx(0.4)


def test_four_bits_by_hand() -> None:
    counted = overlap({"w": mask(1, 1, 0, 0)}, {"w": mask(1, 0, 1, 0)})
    assert counted == Overlap(weights=4, first=2, second=2, both=1)
    assert counted.agreement == 0.5
    assert counted.kappa == 0.0


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.5), (0.9, 0.2), (0.05, 0.1), (0.507, 0.43)])
def test_unrelated_masks_have_no_kappa_whatever_their_densities(first: float, second: float) -> None:
    counted = overlap(masks_of(first, 1, *SHAPES), masks_of(second, 2, *SHAPES))
    assert counted.agreement == pytest.approx(first * second + (1 - first) * (1 - second), abs=0.01)
    assert counted.kappa == pytest.approx(0, abs=0.012)


@pytest.mark.parametrize("density", [0.02, 0.5, 0.98])
def test_equal_masks_agree_wholly_and_opposite_ones_not_at_all(density: float) -> None:
    task = masks_of(density, 3, *SHAPES)
    opposite = {key: BitMask.pack(~own.unpack()) for key, own in task.items()}
    same = overlap(task, masks_of(density, 3, *SHAPES))
    assert (same.agreement, same.kappa) == (1.0, pytest.approx(1.0))
    assert overlap(task, opposite).agreement == 0.0
    assert overlap(task, opposite).kappa < 0


def test_a_planted_overlap_is_found() -> None:
    first = masks_of(0.5, 4, (300, 333))["conv0.weight"].unpack()
    noise = torch.rand(first.shape, generator=torch.Generator().manual_seed(5))
    second = torch.where(noise < 0.3, first, noise > 0.65)  # 30 % copied, the others drawn anew, half of them ones
    counted = overlap({"w": BitMask.pack(first)}, {"w": BitMask.pack(second)})
    assert counted.kappa == pytest.approx(0.3, abs=0.01)


def test_counts_agree_with_numpy_bit_by_bit() -> None:
    first, second = masks_of(0.6, 6, *SHAPES), masks_of(0.3, 7, *SHAPES)
    for key, counted in overlaps(first, second).items():
        a, b = first[key].unpack().numpy(), second[key].unpack().numpy()
        assert counted.agreement == pytest.approx(np.mean(~(a ^ b)))
        assert (counted.first, counted.second, counted.both) == (a.sum(), b.sum(), (a & b).sum())
    assert total(overlaps(first, second)) == overlap(first, second)


@pytest.mark.parametrize("other", [(1, 1, 1), (0, 0, 0), (1, 0, 1)])
@pytest.mark.parametrize("constant", [(1, 1, 1), (0, 0, 0)])
def test_a_constant_mask_agrees_by_chance_alone(constant: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert overlap({"w": mask(*constant)}, {"w": mask(*other)}).kappa == 0.0


def test_similarity_puts_the_share_of_ones_in_the_first_tasks_place() -> None:
    voc, gogh, munch = (masks_of(density, seed, *SHAPES) for seed, density in ((8, 0.507), (9, 0.43), (10, 0.45)))
    found = similarity("coco", {"voc": voc, "gogh": gogh, "munch": munch})
    assert found.tasks == ("coco", "voc", "gogh", "munch")
    assert found.agreement["coco", "gogh"] == pytest.approx(1 - zero_ratio(gogh))
    assert found.kappa["coco", "gogh"] == 0.0
    assert found.agreement["gogh", "munch"] == overlap(gogh, munch).agreement
    assert set(found.agreement) == set(found.kappa)
    assert len(found.kappa) == 6


def test_masks_of_different_backbones_are_refused() -> None:
    with pytest.raises(ValueError, match="the same layers, but only one masks b, c"):
        overlaps({"a": mask(1), "b": mask(1)}, {"a": mask(1), "c": mask(1)})
    with pytest.raises(ValueError, match=r"masks of `a` to have one shape, but got \(1,\) and \(2,\)"):
        overlap({"a": mask(1)}, {"a": mask(1, 0)})


def test_no_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="masks over at least one weight, but got none"):
        zero_ratio({})
    with pytest.raises(ValueError, match="at least one weight"):
        overlap({}, {})
    with pytest.raises(ValueError, match="'coco' to have no mask: it trained the backbone itself"):
        similarity("coco", {"coco": {"a": mask(1)}})


@pytest.mark.parametrize("counts", [(4, 5, 1, 1), (4, 3, 3, 1), (4, 2, 2, 3), (0, 0, 0, 0)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int, int]) -> None:
    weights, first, second, both = counts
    with pytest.raises(ValueError, match="Expected the counts of two masks"):
        Overlap(weights=weights, first=first, second=second, both=both)
