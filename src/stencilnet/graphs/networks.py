"""The architectures that can be written as graphs, by their names in bundles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from stencilnet.bundle.architecture import UNET, VGG
from stencilnet.graphs.padding import crop, pad
from stencilnet.graphs.unet import unet_graph, unet_shapes
from stencilnet.graphs.vgg16 import vgg16_graph, vgg16_inputs, vgg16_shapes
from stencilnet.graphs.writer import IMAGE, Shapes
from stencilnet.pictures.images import Floats


@dataclass(frozen=True, kw_only=True)
class Network:
    """An architecture as graphs, and what is done outside them.

    Attributes:
        shapes: Returns the shapes of its weights by key, with a head of one channel, given its arguments.
        graph: Returns the graph of a task, given the shapes of the task's full weights.
        inputs: Returns the graph's inputs for one image ``(3, H, W)``.
        output: Returns the raw output of an image, given the graph's for it, ``(C, ...)``, and the image's H and W.
        columns: Whether tasks may run through the columns of others.
    """

    shapes: Callable[[Mapping[str, Any]], dict[str, tuple[int, ...]]]
    graph: Callable[[Shapes], ModelProto]
    inputs: Callable[[Floats], dict[str, Floats]]
    output: Callable[[Floats, int, int], Floats]
    columns: bool


NETWORKS: Mapping[str, Network] = {
    UNET: Network(
        shapes=unet_shapes,
        graph=unet_graph,
        inputs=lambda image: {IMAGE: pad(image)[None]},
        output=crop,
        columns=True,
    ),
    VGG: Network(
        shapes=vgg16_shapes,
        graph=vgg16_graph,
        inputs=vgg16_inputs,
        output=lambda output, _height, _width: output,
        columns=False,
    ),
}
