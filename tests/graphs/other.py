"""A bundle of a network that stencilnet does not know, with its graph, without PyTorch."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from onnx import ModelProto

from stencilnet.bundle import read_config
from stencilnet.bundle.architecture import read_backbone
from stencilnet.bundle.format import CONFIG, GRAPH
from stencilnet.graphs.stored import labelled
from stencilnet.graphs.unet import unet_graph

GOLDEN = Path(__file__).parents[1] / "bundle" / "golden"


def other_bundle(folder: Path) -> Path:
    """Write a golden bundle under a class of another package; its graph is the U-Net's."""
    shutil.copytree(GOLDEN / "v1", folder)
    config = replace(read_config(folder), architecture="theirs.Network", arguments=None)
    (folder / CONFIG).write_bytes(config.to_bytes(folder / CONFIG))
    shapes = {name: array.shape for name, array in read_backbone(folder, config).items()}
    heads = {name: (1, *tensor.shape) for name, tensor in config.head_tensors.items()}
    (folder / GRAPH).write_bytes(labelled(unet_graph(shapes | heads), config.backbone).SerializeToString())
    return folder


def change_graph(bundle: Path, change: Callable[[ModelProto], object]) -> None:
    """Change a bundle's graph in place."""
    model = ModelProto()
    model.ParseFromString((bundle / GRAPH).read_bytes())
    change(model)
    (bundle / GRAPH).write_bytes(model.SerializeToString())
