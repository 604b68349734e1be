"""What masks and codes of several values have in common, against NumPy, published tables and enumeration."""

from itertools import permutations
from math import sqrt

import numpy as np
import pytest

from stencilnet.analysis.masks import Overlap, by_kind, overlap, overlaps, similarity, total, zero_ratio, zero_ratios
from stencilnet.delta import BitMask, Quantized, Select, Ternary, WeightCodes
from stencilnet.delta.spec import Array


def masks_of(density: float, seed: int, *shapes: tuple[int, ...]) -> dict[str, WeightCodes]:
    draw = np.random.default_rng(seed)
    return {f"conv{n}.weight": of_bits(draw.random(shape) < density) for n, shape in enumerate(shapes)}


def changes_of(size: float, seed: int, *shapes: tuple[int, ...]) -> dict[str, WeightCodes]:
    """Codes from -3 to 3, the fewer of them 0 the larger `size`."""
    draw = np.random.default_rng(seed)
    drawn = [np.clip(np.rint(size * draw.standard_normal(shape)), -3, 3) for shape in shapes]
    return {f"conv{n}.weight": of_codes(codes) for n, codes in enumerate(drawn)}


def of_bits(bits: Array) -> WeightCodes:
    codes = Select(BitMask.pack(bits)).weight_codes
    assert codes is not None
    return codes


def of_codes(codes: Array) -> WeightCodes:
    found = Quantized(codes.astype(np.int8), np.array(0.1, np.float32)).weight_codes
    assert found is not None
    return found


def mask(*bits: int) -> WeightCodes:
    return of_bits(np.array(bits, bool))


def change(*codes: int) -> WeightCodes:
    return of_codes(np.array(codes))


def binary(*, weights: int, first: int, second: int, both: int) -> Overlap:
    """Two masks by their ones."""
    equal = weights - first - second + 2 * both
    return Overlap(first={0: weights - first, 1: first}, second={0: weights - second, 1: second}, equal=equal)


SHAPES = ((3, 3, 3, 3), (7, 5), (1,), (200, 499))  # 81, 35, 1 and 99,800 bits: most are no multiple of 8


def test_the_ratio_of_zero_by_layer_and_over_all() -> None:
    task = {"a": mask(1, 0, 0, 0), "b": mask(1, 1, 1, 1, 1, 1, 1, 0, 0, 0)}
    assert zero_ratios(task) == {"a": 0.75, "b": pytest.approx(0.3)}
    assert list(zero_ratios(task)) == ["a", "b"]
    assert zero_ratio(task) == pytest.approx(6 / 14)  # by weights, not the mean of layers


def test_a_hand_computed_table() -> None:
    # Cohen's classic example: 20 both yes, 15 both no, 5 only the first, 10 only the second.
    table = binary(weights=50, first=25, second=30, both=20)
    assert table.agreement == pytest.approx(0.7)
    assert table.kappa == pytest.approx(0.4)


def test_four_bits_by_hand() -> None:
    counted = overlap({"w": mask(1, 1, 0, 0)}, {"w": mask(1, 0, 1, 0)})
    assert counted == binary(weights=4, first=2, second=2, both=1)
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
    opposite = {key: of_bits(own.read() == 0) for key, own in task.items()}
    same = overlap(task, masks_of(density, 3, *SHAPES))
    assert (same.agreement, same.kappa) == (1.0, pytest.approx(1.0))
    assert overlap(task, opposite).agreement == 0.0
    assert overlap(task, opposite).kappa < 0


def test_a_planted_overlap_is_found() -> None:
    first = masks_of(0.5, 4, (300, 333))["conv0.weight"].read() == 1
    noise = np.random.default_rng(5).random(first.shape)
    second = np.where(noise < 0.3, first, noise > 0.65)  # 30 % copied, the others drawn anew, half of them ones
    counted = overlap({"w": of_bits(first)}, {"w": of_bits(second)})
    assert counted.kappa == pytest.approx(0.3, abs=0.01)


def test_counts_agree_with_numpy_bit_by_bit() -> None:
    first, second = masks_of(0.6, 6, *SHAPES), masks_of(0.3, 7, *SHAPES)
    for key, counted in overlaps(first, second).items():
        a, b = (own[key].read().astype(bool) for own in (first, second))
        assert counted.agreement == pytest.approx(np.mean(~(a ^ b)))
        assert (counted.first.get(1, 0), counted.second.get(1, 0)) == (a.sum(), b.sum())
        assert counted.equal == (~(a ^ b)).sum()
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
    with pytest.raises(ValueError, match="of the same layers, but only one has them of b, c"):
        overlaps({"a": mask(1), "b": mask(1)}, {"a": mask(1), "c": mask(1)})
    with pytest.raises(
        ValueError, match=r"codes of `a` to have one shape and kind, but got \(1,\) \(select\) and \(2,\)"
    ):
        overlap({"a": mask(1)}, {"a": mask(1, 0)})


def test_no_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="a mask or codes over at least one weight, but got none"):
        zero_ratio({})
    with pytest.raises(ValueError, match="at least one weight"):
        overlap({}, {})
    with pytest.raises(ValueError, match="'coco' to have no mask: it trained the backbone itself"):
        similarity("coco", {"coco": {"a": mask(1)}})


@pytest.mark.parametrize("counts", [(4, 5, 1, 1), (4, 3, 3, 1), (4, 2, 2, 3), (0, 0, 0, 0)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int, int]) -> None:
    weights, first, second, both = counts
    with pytest.raises(ValueError, match="Expected the counts of two tasks' codes"):
        binary(weights=weights, first=first, second=second, both=both)


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [({0: 2, 1: 2}, {0: 3}, 1), ({0: 2, 1: 1}, {0: 2, 5: 1}, 3), ({0: 5}, {0: 4, 1: 1}, 3), ({0: -1, 1: 2}, {1: 1}, 1)],
)
def test_impossible_counts_of_codes_are_refused(first: dict[int, int], second: dict[int, int], equal: int) -> None:
    with pytest.raises(ValueError, match="Expected the counts of two tasks' codes"):
        Overlap(first=first, second=second, equal=equal)


def test_the_ratio_of_zero_of_codes_is_the_share_of_weights_left_as_they_are() -> None:
    task = {"a": change(0, -3, 2, 0), "b": change(1, 1, 1, 1, 1, 1, 1, 0, 0, 0)}
    assert zero_ratios(task) == {"a": 0.5, "b": pytest.approx(0.3)}
    assert zero_ratio(task) == pytest.approx(5 / 14)


def test_a_published_table_of_three_categories() -> None:
    """Fleiss, Cohen and Everitt (1969), Table 1: 200 subjects, kappa 0.429."""
    table = np.array([[106, 10, 4], [22, 28, 10], [2, 12, 6]])
    values = np.array([-1, 0, 3])
    pairs = np.repeat(np.stack(np.meshgrid(values, values, indexing="ij"), -1).reshape(-1, 2), table.ravel(), axis=0)
    one, other = pairs.T
    counted = overlap({"w": of_codes(one)}, {"w": of_codes(other)})
    assert counted == Overlap(first={-1: 120, 0: 60, 3: 20}, second={-1: 130, 0: 50, 3: 20}, equal=140)
    assert counted.agreement == 0.7
    assert counted.kappa == pytest.approx(0.429, abs=5e-4)


def test_codes_agree_with_numpys_table() -> None:
    first, second = changes_of(0.8, 6, *SHAPES), changes_of(1.5, 7, *SHAPES)
    for key, counted in overlaps(first, second).items():
        a, b = (own[key].read().ravel() for own in (first, second))
        edges = np.arange(-4, 5) - 0.5
        table = np.histogram2d(a, b, bins=(edges, edges))[0] / a.size
        chance = float((table.sum(axis=0) * table.sum(axis=1)).sum())
        assert counted.agreement == pytest.approx(np.trace(table))
        expected = (np.trace(table) - chance) / (1 - chance) if chance < 1 else 0.0
        assert counted.kappa == pytest.approx(expected)
    assert total(overlaps(first, second)) == overlap(first, second)


def test_equal_codes_agree_wholly_and_unrelated_ones_by_chance() -> None:
    task = changes_of(0.8, 3, *SHAPES)
    same = overlap(task, changes_of(0.8, 3, *SHAPES))
    assert (same.agreement, same.kappa) == (1.0, pytest.approx(1.0))
    assert overlap(task, changes_of(0.8, 4, *SHAPES)).kappa == pytest.approx(0, abs=0.012)
    assert overlap({"w": change(0, 0)}, {"w": change(0, 0)}).kappa == 0.0


def test_the_first_task_has_no_change() -> None:
    tasks = {"voc": changes_of(0.8, 8, *SHAPES), "gogh": changes_of(0.4, 9, *SHAPES)}
    found = similarity("coco", tasks)
    assert found.kind == "quantized"
    assert {task: found.agreement["coco", task] for task in tasks} == {
        task: pytest.approx(zero_ratio(own)) for task, own in tasks.items()
    }
    assert found.kappa["coco", "gogh"] == 0.0


def test_of_ternary_masks_the_first_task_agrees_where_they_keep_a_weight_as_it_is() -> None:
    keep, flip = np.array([1, 1, 1, 1, 0], bool), np.array([1, 0, 0, 0, 0], bool)
    codes = Ternary(BitMask.pack(keep), BitMask.pack(flip)).weight_codes
    found = similarity("coco", {"voc": {"w": codes}, "same": {"w": codes}})
    assert found.agreement == {("coco", "voc"): 0.6, ("coco", "same"): 0.6, ("voc", "same"): 1.0}


def test_masks_are_not_compared_with_codes() -> None:
    tasks = {"a": {"w": mask(1, 0)}, "b": {"w": change(1, 0)}, "c": {"w": mask(0, 1)}}
    assert {kind: list(group) for kind, group in by_kind(tasks).items()} == {"select": ["a", "c"], "quantized": ["b"]}
    with pytest.raises(ValueError, match="codes of one kind, but got a, c: select; b: quantized"):
        similarity("coco", tasks)
    with pytest.raises(ValueError, match=r"one shape and kind, but got \(2,\) \(select\) and \(2,\) \(quantized\)"):
        overlap(tasks["a"], tasks["b"])
    with pytest.raises(ValueError, match="one kind, but got no task"):
        similarity("coco", {})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 0, 1, 1, 2, 2), (0, 1, 1, 2, 2, 2)),
        ((0, 0, 0, 0, -1, 3), (0, 0, -1, -1, 2, 3)),
        ((0, 1), (1, 0)),
        ((5,), (5,)),
    ],
)
def test_kappa_by_chance_is_that_of_all_matchings(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Every order of the second task's codes, each as likely: the exact distribution."""
    kappas = [overlap({"w": change(*first)}, {"w": change(*order)}).kappa for order in permutations(second)]
    counted = overlap({"w": change(*first)}, {"w": change(*second)})
    assert counted.kappa_by_chance == pytest.approx(np.std(kappas))
    assert np.mean(kappas) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("weights", "sizes"), [(2000, (0.8, 0.8)), (300, (0.4, 1.5)), (50, (1.0, 0.6))])
def test_kappa_by_chance_of_codes_is_what_drawing_gives(weights: int, sizes: tuple[float, float]) -> None:
    one, other = (changes_of(size, n, (weights,))["conv0.weight"].read() for n, size in enumerate(sizes))
    counted = overlap({"w": of_codes(one)}, {"w": of_codes(other)})
    generator = np.random.default_rng(0)
    equal = [int((one == generator.permutation(other)).sum()) for _ in range(3000)]
    kappas = [Overlap(first=counted.first, second=counted.second, equal=count).kappa for count in equal]
    assert counted.kappa_by_chance == pytest.approx(np.std(kappas), rel=0.05)


@pytest.mark.parametrize(("n", "a", "b"), [(50, 25, 30), (300, 30, 200), (99_991, 50_000, 431), (10**8 + 7, 10**7, 3)])
def test_kappa_by_chance_of_two_values_is_the_hypergeometric_formula_to_the_last_bit(n: int, a: int, b: int) -> None:
    spread = sqrt(a * b * (n - a) * (n - b) / (n - 1)) / n
    expected = 2 * spread * n / (n * n - a * b - (n - a) * (n - b))
    assert binary(weights=n, first=a, second=b, both=min(a, b)).kappa_by_chance == expected
