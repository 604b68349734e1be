"""Finds what a config needs and cannot have, before anything is trained."""

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
    """Find all that a config needs and cannot have, before anything is trained.

    Opens every data set, splits off what is held out, reads the style images, and loads the weights that the backbone
    starts from and VGG where styles look through it (which fetches them, if the config says ``download``).

    Args:
        source: The config's name, for the message.
        experiment: The config.
        root: Where its data are.
        backbone: Whether the config's own backbone will be made.
        fetch: Whether weights may be downloaded; if not, those that would be are not looked at.

    Raises:
        ConfigError: If any of it cannot be had; all of it is listed.
    """
    if not fetch:
        experiment, _ = without_downloads(experiment)
    problems = _missing_data(experiment, root)
    hint = f"`stencil data list --root {root}` says where the known data sets are from, and how they lie." * bool(
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
    """Return what tasks lack; what several lack alike is one line."""
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
    """Yield what a task lacks, by config path below it."""
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
