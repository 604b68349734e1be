"""Tasks in words: the rows of the paper's Table 1."""

from stencilnet.evaluation.results import TaskCard
from stencilnet.experiment.config import Experiment
from stencilnet.tasks.task import Task

_WORDS = {
    "segmentation": ("semantic segmentation", "RGB", "class scores", "cross-entropy"),
    "colorization": ("gray image colouring", "gray (Y)", "CbCr", "L2"),
    "style": ("style transfer", "RGB", "RGB", "content + style"),
    "edges2photo": ("edge image colouring", "edges", "RGB", "GAN + L1"),
    "restoration": ("restoration", "RGB", "RGB", "L1 or L2"),
    "depth": ("depth", "RGB", "1 / distance", "L1"),
    "normals": ("surface normals", "RGB", "unit vectors", "L2"),
    "classification": ("classification", "RGB", "class", "cross-entropy"),
}
"""Category, input, output and loss of each kind."""


def card(experiment: Experiment, task: Task, name: str) -> TaskCard:
    """Describe a task; `task` is the bound one, whose metrics name the perceptual network."""
    plan = experiment.plan(name)
    category, given, returned, loss = _WORDS[task.kind]
    return TaskCard(
        number=[other.name for other in experiment.tasks].index(name) + 1,
        name=name,
        title=plan.title,
        category=category,
        data=plan.data.about,
        input=given,
        output=returned,
        loss=loss,
        metrics=task.metrics,
        trivial=task.trivial,
    )
