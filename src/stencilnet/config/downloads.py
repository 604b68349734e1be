"""Weights that a config has downloaded, and how to measure it without them."""

from dataclasses import replace

from stencilnet.config.schema import Experiment, Perceptual
from stencilnet.perceptual.criterion import PRESETS
from stencilnet.perceptual.vgg import is_cached

_DOWNLOAD = "download"
_STARTS = {"imagenet": "VGG16", "vgg13": "VGG13"}


def without_downloads(experiment: Experiment) -> tuple[Experiment, tuple[str, ...]]:
    """Return a config that needs no download, to measure by, and what was replaced.

    Weights that are to be downloaded and are not in torch's cache are replaced by random ones of about their size.
    """
    notes = []
    presets = experiment.presets
    looks = presets and experiment.perceptual.source == "vgg" and experiment.perceptual.weights == _DOWNLOAD
    if looks and not is_cached(network := PRESETS[presets[0]].network):
        experiment = replace(experiment, perceptual=Perceptual(source="standin"))
        notes.append(
            f"The weights of {network} are not here yet; a run downloads them. Style losses were measured through "
            "random filters in its shape."
        )
    start = experiment.backbone
    if start.weights == _DOWNLOAD and not is_cached(_STARTS[start.init]):
        notes.append(f"The weights of {_STARTS[start.init]} are not here yet; a run downloads them to start from.")
        experiment = replace(experiment, backbone=replace(start, init="random", weights=None))
    return experiment, tuple(notes)
