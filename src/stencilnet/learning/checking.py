"""Checks before training that all data and weights of a config are available."""

from collections.abc import Iterator
from pathlib import Path

from stencilnet.config.classes import class_problems
from stencilnet.config.downloads import without_downloads
from stencilnet.config.reading import ConfigError
from stencilnet.config.schema import Experiment, TaskPlan, order_problems, sources
from stencilnet.data.sources import split
from stencilnet.learning.backbones import backbone_problems
from stencilnet.learning.styles import style_image
from stencilnet.perceptual.vgg import vgg
from stencilnet.tasks.perceptual_task import PerceptualTask


def check_paths(source: str, experiment: Experiment, root: Path, *, backbone: bool = True, fetch: bool = True) -> None:
    """Check that all data and weights of a config are available, before anything is trained.

    Opens every data set, splits off the held-out part, reads the style images, and loads the backbone's initial
    weights and the VGG of style losses (downloads them if the config says ``download``).

    Args:
        source: The config's name, for the message.
        experiment: The config.
        root: Root folder of its data.
        backbone: Whether to check the config's backbone too.
        fetch: Whether weights may be downloaded; if not, those that need it are not checked.

    Raises:
        ConfigError: If something is missing or unfit; the message lists all of it.
    """
    if not fetch:
        experiment, _ = without_downloads(experiment)
    problems = _missing_data(experiment, root)
    hint = f"`stencil data list --root {root}` shows the known data sets: where to get them, and their layout." * bool(
        problems
    )
    if experiment.presets and experiment.perceptual.source == "vgg":
        try:
            vgg(experiment.presets[0], experiment.perceptual.weights)
        except (ValueError, OSError) as error:
            problems.append(f"perceptual.weights: {error}")
    if backbone:
        problems += [*backbone_problems(experiment.backbone), *order_problems(experiment)]
    if problems:
        raise ConfigError(source, problems, hint)


def _missing_data(experiment: Experiment, root: Path) -> list[str]:
    """Return the problems of the tasks' data; a problem that several tasks share is one line."""
    places: dict[str, list[str]] = {}
    for position, plan in enumerate(experiment.tasks):
        for key, message in _missing(plan, root):
            places.setdefault(message, []).append(f"tasks.{position}.{key}")
    problems = [f"{', '.join(where)}: {message}" for message, where in places.items()]
    cache = None if experiment.trainer.cache is None else root / experiment.trainer.cache
    if cache is not None and cache.exists() and not cache.is_dir():
        problems.append(f"trainer.cache: expected a folder, but {cache} is a file")
    return problems


def _missing(plan: TaskPlan, root: Path) -> Iterator[tuple[str, str]]:
    """Yield the problems of a task's data as (config path below the task, message)."""
    for key, data in sources(plan).items():
        try:
            examples = data.open(root)
        except (ValueError, OSError) as error:
            yield f"data.{key}", str(error)
            continue
        if key == "train" and plan.data.validation is None:
            try:
                split(examples, plan.data.holdout)
            except ValueError as error:
                yield "data.holdout", str(error)
    yield from class_problems(plan, root)
    if isinstance(plan.task, PerceptualTask):
        try:
            style_image(plan.task, root)
        except (ValueError, OSError) as error:
            yield "task.style", str(error)
