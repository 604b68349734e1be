"""Hand-computed: three tasks, one whose metric rises and two where it falls."""

import math

import pytest

from stencilnet.evaluation.details import forgetting_table
from stencilnet.evaluation.matrix import Column, Comparison, ResultMatrix, Retests, gain
from stencilnet.evaluation.render import to_text
from stencilnet.evaluation.results import StageResult
from stencilnet.tasks.task import Metric

MIOU = Metric(name="mIoU", higher_is_better=True, note="%")
MSE = Metric(name="MSE", higher_is_better=False, note="RGB, 0-255")
SSIM = Metric(name="SSIM", higher_is_better=True)
TOTAL = Metric(name="total_loss", higher_is_better=False, note="VGG16")

COCO, VOC = Column(task="coco", metric=MIOU), Column(task="voc", metric=MIOU)
COLOUR_MSE, COLOUR_SSIM = Column(task="colour", metric=MSE), Column(task="colour", metric=SSIM)
GOGH_TOTAL, MUNCH, BAGS = (
    Column(task="gogh", metric=TOTAL),
    Column(task="munch", metric=TOTAL),
    Column(task="handbags", metric=MSE),
)


@pytest.fixture
def chain(build) -> ResultMatrix:
    return Comparison.of(
        [
            build("backbone", "coco", {"coco": (20.0,)}, parent=None, moves_shared=True),
            build("finetune", "voc", {"coco": (25.0,), "voc": (60.0,)}),
            build("finetune", "colour", {"coco": (5.0,), "voc": (61.0,), "colour": (240.0, 0.9)}, parent="voc"),
        ]
    ).matrix("finetune")


def test_the_matrix_holds_each_metric_in_each_state(chain: ResultMatrix) -> None:
    assert chain.columns == (COCO, VOC, COLOUR_MSE, COLOUR_SSIM)
    assert [row.task for row in chain.rows] == ["coco", "voc", "colour"]
    assert [row.parent for row in chain.rows] == [None, "coco", "voc"]
    assert [row.values for row in chain.rows] == [
        (20.0, None, None, None),
        (25.0, 60.0, None, None),
        (5.0, 61.0, 240.0, 0.9),
    ]
    assert chain.learned(VOC) == 60.0
    assert chain.after_next(VOC, "colour") == 61.0
    assert chain.after_next(COLOUR_MSE, "gogh") is None


def test_forgetting_is_against_the_best_and_transfer_against_the_first(chain: ResultMatrix) -> None:
    assert chain.forgetting(COCO) == 20.0  # 25 - 5: it was at its best after task 2
    assert chain.backward_transfer(COCO) == -15.0  # 5 - 20
    assert chain.forgetting(VOC) == -1.0
    assert chain.backward_transfer(VOC) == 1.0


def test_the_last_task_has_had_no_time_to_forget(chain: ResultMatrix) -> None:
    assert chain.forgetting(COLOUR_MSE) is None
    assert chain.backward_transfer(COLOUR_MSE) is None


def test_positive_means_forgot_whatever_the_direction(paper: list[StageResult]) -> None:
    matrix = Comparison.of(paper).matrix("finetune")
    assert matrix.forgetting(COLOUR_MSE) == pytest.approx(950.0 - 237.92)
    assert matrix.forgetting(COLOUR_SSIM) == pytest.approx(0.9148 - 0.45)
    assert matrix.backward_transfer(COLOUR_MSE) == pytest.approx(237.92 - 950.0)
    assert matrix.forgetting(MUNCH) == pytest.approx(2e6 - 490490)
    assert matrix.forgetting(BAGS) is None


def test_a_task_on_another_branch_is_not_called_forgotten(paper: list[StageResult]) -> None:
    matrix = Comparison.of(paper).matrix("finetune")
    assert matrix.after_next(GOGH_TOTAL, "munch") is None
    assert matrix.forgetting(GOGH_TOTAL) is None
    assert matrix.backward_transfer(GOGH_TOTAL) is None


def test_a_better_value_on_another_branch_is_not_the_past_of_the_final_state(build) -> None:
    results = [
        build("backbone", "coco", {"coco": (20.0,)}, parent=None, moves_shared=True),
        build("finetune", "voc", {"coco": (90.0,), "voc": (60.0,)}),
        build("finetune", "colour", {"coco": (15.0,), "colour": (240.0, 0.9)}, parent="coco"),
    ]
    assert Comparison.of(results).matrix("finetune").forgetting(COCO) == 5.0


def test_a_method_that_keeps_everything_forgets_exactly_nothing(paper: list[StageResult]) -> None:
    matrix = Comparison.of(paper).matrix("piggyback")
    assert [matrix.forgetting(c) for c in matrix.columns if c.task != "handbags"] == [0.0] * 7
    assert [matrix.backward_transfer(c) for c in matrix.columns if c.task != "handbags"] == [0.0] * 7


def test_retests_count_what_changed(chain: ResultMatrix, paper: list[StageResult]) -> None:
    assert chain.retests() == Retests(count=3, changed=3)
    assert Comparison.of(paper).matrix("piggyback").retests() == Retests(count=20, changed=0)
    assert Comparison.of(paper).matrix("finetune").retests() == Retests(count=16, changed=16)


def test_a_diverged_number_that_stays_so_has_not_changed(build) -> None:
    nan = float("nan")
    results = [
        build("piggyback", "voc", {"voc": (nan,)}),
        build("piggyback", "munch", {"voc": (nan,), "munch": (1.0,)}),
    ]
    assert Comparison.of(results).matrix("piggyback").retests() == Retests(count=1, changed=0)


def test_gain_points_to_better() -> None:
    assert gain(MIOU, 10.0, 12.0) == 2.0
    assert gain(MSE, 10.0, 12.0) == -2.0


def test_the_papers_methods_come_in_its_order_then_others(build) -> None:
    first = build("backbone", "coco", {"coco": (20.0,)}, parent=None, moves_shared=True)
    assert Comparison.of([first]).methods == ("backbone",)
    others = [build(m, "voc", {"voc": (1.0,)}) for m in ("packnet", "piggyback", "ewc", "scratch", "finetune")]
    comparison = Comparison.of([*others, first])
    assert comparison.methods == ("scratch", "finetune", "piggyback", "packnet", "ewc")
    assert [card.name for card in comparison.cards] == ["coco", "voc"]


def test_a_method_with_a_first_task_of_its_own_shows_that(build) -> None:
    first = build("backbone", "coco", {"coco": (20.0,)}, parent=None, moves_shared=True)
    pruned = build("packnet", "coco", {"coco": (18.0,)}, parent=None, moves_shared=True)
    comparison = Comparison.of([first, pruned, build("piggyback", "voc", {"coco": (20.0,), "voc": (60.0,)})])
    assert comparison.matrix("packnet").learned(COCO) == 18.0
    assert comparison.matrix("piggyback").learned(COCO) == 20.0


def test_a_stage_that_comes_twice_is_refused(build) -> None:
    twice = [build("piggyback", "voc", {"voc": (1.0,)})] * 2
    with pytest.raises(ValueError, match="one result per stage, but piggyback's task 'voc' occurs twice"):
        Comparison.of(twice)


def test_results_of_two_experiments_are_refused(build) -> None:
    from dataclasses import replace

    one = build("piggyback", "voc", {"voc": (1.0,)})
    other = build("scratch", "voc", {"voc": (1.0,)})
    changed = replace(other, card=replace(other.card, data="other data"))
    with pytest.raises(ValueError, match="agree on task 'voc', but scratch's card differs"):
        Comparison.of([one, changed])
    clash = replace(build("scratch", "coco", {"coco": (1.0,)}), card=replace(one.card, name="coco"))
    with pytest.raises(ValueError, match=r"its own number, but got \[2, 2\]"):
        Comparison.of([one, replace(clash, card=replace(clash.card, metrics=(MIOU,)))])


def test_nothing_measured_is_a_comparison_too() -> None:
    comparison = Comparison.of([])
    assert comparison.cards == ()
    matrix = comparison.matrix("piggyback")
    assert matrix.rows == ()


@pytest.mark.parametrize(
    ("higher_is_better", "before", "after", "expected"),
    [
        (True, math.inf, math.inf, 0.0),
        (True, math.inf, 30.0, -math.inf),
        (True, 30.0, math.inf, math.inf),
        (False, 0.0, math.inf, -math.inf),
        (True, 30.0, 31.5, 1.5),
        (False, 30.0, 31.5, -1.5),
    ],
)
def test_gain_of_infinite_values(higher_is_better: bool, before: float, after: float, expected: float) -> None:
    assert gain(Metric(name="PSNR", higher_is_better=higher_is_better), before, after) == expected


def test_forgetting_of_an_exact_task(build) -> None:
    results = [
        build("finetune", "colour", {"colour": (0.0, math.inf)}, parent=None),
        build("finetune", "gogh", {"colour": (0.0, math.inf), "gogh": (1.0, 2.0)}, parent="colour"),
        build("finetune", "munch", {"colour": (3.0, 40.0), "gogh": (1.0, 2.0), "munch": (5.0,)}, parent="gogh"),
    ]
    for count, expected in ((2, 0.0), (3, math.inf)):
        comparison = Comparison.of(results[:count])
        matrix = comparison.matrix("finetune")
        column = next(c for c in matrix.columns if (c.task, c.metric.name) == ("colour", "SSIM"))
        assert matrix.forgetting(column) == expected
        assert matrix.backward_transfer(column) == -expected
        assert "nan" not in to_text(forgetting_table(comparison, "finetune"))
