import pytest

from stencilnet.evaluation.protocol import Stage, plan

PAPER = ("coco", "voc", "colour", "gogh", "munch", "handbags")


def parents(stages: tuple[Stage, ...]) -> list[str | None]:
    return [stage.parent for stage in stages]


def test_the_papers_fine_tuning_learns_task_5_from_task_3_and_task_6_from_task_5() -> None:
    stages = plan(PAPER, "finetune", True, {"munch": "colour"})
    assert parents(stages) == [None, "coco", "voc", "colour", "colour", "munch"]
    assert [stage.index for stage in stages] == [0, 1, 2, 3, 4, 5]


def test_without_exceptions_a_moving_method_learns_in_a_chain() -> None:
    stages = plan(PAPER, "finetune", True)
    assert parents(stages) == [None, *PAPER[:-1]]


def test_a_method_that_leaves_the_weights_alone_always_starts_from_the_first_task() -> None:
    stages = plan(PAPER, "piggyback", False)
    assert parents(stages) == [None, *["coco"] * 5]


def test_the_first_stage_is_the_same_for_all_methods() -> None:
    first = Stage(method="backbone", task="coco", index=0, parent=None, moves_shared=True)
    assert plan(PAPER, "piggyback", False)[0] == plan(PAPER, "finetune", True)[0] == first
    assert plan(("coco",), "scratch", False) == (first,)


@pytest.mark.parametrize(
    ("tasks", "moves", "given", "message"),
    [
        ((), True, {}, r"`tasks` to be different names, at least one, but got \[\]"),
        (("a", "a"), True, {}, r"different names, at least one, but got \['a', 'a'\]"),
        (("a", "b"), True, {"c": "a"}, "to name tasks of a, b, but got c: a"),
        (("a", "b"), True, {"b": "c"}, "to name tasks of a, b, but got b: c"),
        (("a", "b", "c"), True, {"b": "c"}, "the parent of b in m to be learned before it, but got c"),
        (("a", "b"), True, {"a": "a"}, "the parent of a in m to be learned before it, but got a"),
        (("a", "b"), False, {"b": "a"}, "no `parents` for m, which does not move the shared weights"),
    ],
)
def test_refused(tasks: tuple[str, ...], moves: bool, given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(tasks, "m", moves, given)
