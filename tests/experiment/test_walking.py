"""The steps that a config asks for, without any of them being done."""

import dataclasses

import stencilnet as sn
from stencilnet.config.reading import read_config
from stencilnet.config.schema import Experiment, MethodPlan
from stencilnet.experiment.walking import First, Learn, LearnTogether, Remember, Retrain, Step, is_chain, walk
from stencilnet.methods import AnyMethod

TASKS = ("scenes", "things", "colour", "edges")


def asking(*methods: AnyMethod | MethodPlan) -> Experiment:
    whole = read_config("demo/tiny")
    plans = tuple(m if isinstance(m, MethodPlan) else MethodPlan(method=m) for m in methods)
    return dataclasses.replace(whole, methods=plans, tasks=tuple(whole.plan(name) for name in TASKS))


def steps(experiment: Experiment, *only: str) -> list[Step]:
    first, *others = walk(experiment, [plan.name for plan in experiment.methods], only)
    assert isinstance(first, First)
    assert (first.stage.method, first.stage.task, first.stage.parent) == ("backbone", "scenes", None)
    return others


def shown(found: list[Step]) -> list[tuple[str, str, tuple[str, str] | None, tuple[str, ...], bool]]:
    return [
        (
            type(step).__name__,
            step.stage.task,
            (step.start.method, step.start.task) if isinstance(step, Learn) else None,
            step.needs if isinstance(step, Learn) else (),
            step.asked,
        )
        for step in found
    ]


BACKBONE = ("backbone", "scenes")


def test_masks_are_learned_apart_from_the_backbone() -> None:
    experiment = asking(sn.Piggyback())
    assert shown(steps(experiment)) == [("Learn", task, BACKBONE, (), True) for task in TASKS[1:]]
    assert not is_chain(experiment, experiment.methods[0])


def test_a_warm_start_and_columns_need_tasks_of_the_bundle() -> None:
    experiment = asking(sn.Piggyback(warm_start="things"), sn.Progressive())
    warm, columns = steps(experiment)[:3], steps(experiment)[3:]
    assert [step.needs for step in warm if isinstance(step, Learn)] == [(), ("things",), ("things",)]
    assert [step.needs for step in columns if isinstance(step, Learn)] == [(), ("things",), ("things", "colour")]
    assert all(is_chain(experiment, plan) for plan in experiment.methods)


def test_a_chain_follows_its_parents_and_says_what_is_asked_for() -> None:
    experiment = asking(MethodPlan(method=sn.Finetune(), parents={"edges": "things"}))
    assert shown(steps(experiment, "edges")) == [
        ("Learn", "things", BACKBONE, (), False),
        ("Learn", "colour", ("finetune", "things"), (), False),
        ("Learn", "edges", ("finetune", "things"), (), True),
    ]
    assert is_chain(experiment, experiment.methods[0])


def test_what_follows_the_first_task_comes_before_the_others() -> None:
    remembering, *_ = found = steps(asking(sn.EWC()))
    assert isinstance(remembering, Remember)
    assert [step.start.method for step in found if isinstance(step, Learn)] == ["backbone", "ewc", "ewc"]
    retraining, *_ = found = steps(asking(sn.PackNet()))
    assert isinstance(retraining, Retrain)
    assert [step.start.method for step in found if isinstance(step, Learn)] == ["packnet"] * 3


def test_memory_of_the_first_task_is_asked_for_where_a_step_starts_from_it() -> None:
    assert [steps(asking(sn.EWC()), task)[0].asked for task in TASKS[1:]] == [True, False, False]


def test_joint_training_is_a_step_for_each_task_that_is_tested() -> None:
    experiment = asking(sn.Joint())
    found = steps(experiment, "colour")
    assert all(isinstance(step, LearnTogether) and step.tasks == TASKS for step in found)
    assert [step.stage.task for step in found] == ["scenes", "colour"]
    assert is_chain(experiment, experiment.methods[0])


def test_a_method_that_is_asked_for_nothing_has_no_steps() -> None:
    experiment = asking(MethodPlan(method=sn.PackNet(), tasks=("things",)), sn.Piggyback(), sn.Joint())
    assert steps(experiment, "edges")[0].stage.method == "piggyback"
    assert [*walk(experiment, [])] == [*walk(experiment, ["unknown"])] == [next(walk(experiment, ["joint"]))]
