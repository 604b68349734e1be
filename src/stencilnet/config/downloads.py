"""Replaces weights that a config would download, so that its cost can be measured without them."""

from dataclasses import replace

from stencilnet.config.schema import Experiment, Perceptual
from stencilnet.perceptual.criterion import PRESETS
from stencilnet.perceptual.vgg import is_cached

_DOWNLOAD = "download"
_STARTS = {"imagenet": "VGG16", "vgg13": "VGG13"}


def without_downloads(experiment: Experiment) -> tuple[Experiment, tuple[str, ...]]:
    """Return a config that needs no download, for measurements, and notes on what was replaced.

    Weights to be downloaded that are not in torch's cache are replaced by random ones of about the same size.
    """
    notes = []
    presets = experiment.presets
    looks = presets and experiment.perceptual.source == "vgg" and experiment.perceptual.weights == _DOWNLOAD
    if looks and not is_cached(network := PRESETS[presets[0]].network):
        experiment = replace(experiment, perceptual=Perceptual(source="standin"))
        notes.append(
            f"The weights of {network} are not in the cache; a run downloads them. Style losses were measured with "
            "random filters of its shape."
        )
    start = experiment.backbone
    if start.weights == _DOWNLOAD and not is_cached(_STARTS[start.init]):
        notes.append(
            f"The weights of {_STARTS[start.init]} are not in the cache; a run downloads and starts from them."
        )
        experiment = replace(experiment, backbone=replace(start, init="random", weights=None))
    return experiment, tuple(notes)
