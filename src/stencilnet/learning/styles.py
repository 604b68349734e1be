"""Binds style tasks to what their losses need: the style image and the perceptual network."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from stencilnet.config.schema import Experiment, Perceptual
from stencilnet.data.folders import Examples
from stencilnet.data.sources import spread
from stencilnet.data.transforms import View, resized
from stencilnet.perceptual.network import PerceptualNetwork, load_perceptual, save_perceptual
from stencilnet.perceptual.standin import standin
from stencilnet.perceptual.vgg import vgg
from stencilnet.pictures.images import read_image, to_array
from stencilnet.scenes import paint_style
from stencilnet.tasks.perceptual_task import PerceptualTask
from stencilnet.tasks.task import Example, Task
from stencilnet.training.sampling import PIXELS

_PAINTED = "painted:"
_CALIBRATION = 48
"""Maximum number of training images that a stand-in is calibrated on."""


def bind_tasks(
    experiment: Experiment,
    backbone: nn.Module,
    images: Callable[[], Examples],
    root: Path,
    kept: Path | None = None,
) -> dict[str, Task]:
    """Return a config's tasks by name, style tasks bound to their style image and perceptual network.

    Args:
        experiment: The config.
        backbone: The frozen backbone, from which a stand-in may be built.
        images: Opens the first task's training images, on which a stand-in is calibrated.
        root: Root folder of the style images.
        kept: File of the stand-in: read if it exists, else written, so that all methods use the same network.

    Raises:
        PerceptualError: If the perceptual network cannot be loaded, or no stand-in passes its test.
    """
    styles = [plan.task for plan in experiment.tasks if isinstance(plan.task, PerceptualTask)]
    if not styles:
        return {plan.name: plan.task for plan in experiment.tasks}
    if kept is not None and kept.exists():
        network = load_perceptual(kept)
    else:
        network = perceptual_network(experiment.perceptual, backbone, images(), styles, root)
        if kept is not None and experiment.perceptual.source == "standin":
            save_perceptual(network, kept)
    return {
        plan.name: bind_style(plan.task, network, root) if isinstance(plan.task, PerceptualTask) else plan.task
        for plan in experiment.tasks
    }


def perceptual_network(
    settings: Perceptual, backbone: nn.Module, images: Examples, styles: Sequence[PerceptualTask], root: Path
) -> PerceptualNetwork:
    """Load VGG, or build and test a stand-in.

    Raises:
        PerceptualError: If the weights cannot be loaded, or no stand-in passes its test.
    """
    if settings.source == "vgg":
        return vgg(styles[0].preset, settings.weights)
    shown = [calibration_image(images[index]) for index in spread(_CALIBRATION, len(images))]
    pictures = [style_image(style, root) for style in styles]
    if len(pictures) == 1:  # the stand-in's test compares two styles
        other = "bands" if styles[0].style == f"{_PAINTED}swirls" else "swirls"
        pictures.append(_painted(other, styles[0].style_size))
    return standin(backbone, shown, pictures)


def calibration_image(example: Example) -> Tensor:
    """Return an example's image for the calibration of a stand-in, RGB ``(3, H, W)`` in [0, 1].

    A photo of more than `stencilnet.training.sampling.PIXELS` pixels is shrunk to about that size, since all photos
    are held in memory at once.
    """
    height, width = example.image.shape[1:]
    if height * width > PIXELS:
        shorter = max(1, int(min(height, width) * (PIXELS / (height * width)) ** 0.5))
        example = resized(replace(example, label=None, target=None), View(resize=shorter))
    return example.image.float() / 255


def bind_style(task: PerceptualTask, network: PerceptualNetwork, root: Path) -> PerceptualTask:
    """Bind a style task to its style image and a perceptual network."""
    return task.bind(network, style_image(task, root))


def style_image(task: PerceptualTask, root: Path) -> Tensor:
    """Return a task's style image, RGB ``(3, H, W)`` in [0, 1]; its shorter side is `PerceptualTask.style_size`.

    Raises:
        ImageError: If its file cannot be read.
        ValueError: If the painted style is unknown.
    """
    if task.style.startswith(_PAINTED):
        return _painted(task.style.removeprefix(_PAINTED), task.style_size)
    picture = read_image(root / task.style)
    scale = task.style_size / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return torch.from_numpy(to_array(picture.resize(size))).float() / 255


def _painted(name: str, size: int) -> Tensor:
    return torch.from_numpy(paint_style(name, size)).permute(2, 0, 1).float() / 255
