"""Descriptions of tasks: the rows of the paper's Table 1."""

from stencilnet.config.schema import Experiment
from stencilnet.evaluation.results import TaskCard
from stencilnet.kinds.catalog import traits_of
from stencilnet.tasks.task import Task


def card(experiment: Experiment, task: Task, name: str) -> TaskCard:
    """Describe a task; a style `task` must be bound, so that its metrics name the perceptual network."""
    plan, traits = experiment.plan(name), traits_of(task.kind)
    return TaskCard(
        number=[other.name for other in experiment.tasks].index(name) + 1,
        name=name,
        title=plan.title,
        category=traits.category,
        data=plan.data.about,
        input=traits.input,
        output=traits.output,
        loss=traits.loss,
        metrics=task.metrics,
        trivial=task.trivial,
    )
