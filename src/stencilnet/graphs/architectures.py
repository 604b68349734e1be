"""The architectures that can be written as graphs, by their names in bundles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from onnx import ModelProto

from stencilnet.bundle.architecture import UNET, VGG, VGG_LEAST
from stencilnet.graphs.padding import crop, pad
from stencilnet.graphs.unet import unet_graph, unet_shapes
from stencilnet.graphs.vgg16 import vgg16_graph, vgg16_inputs, vgg16_shapes
from stencilnet.graphs.writer import IMAGE, Shapes
from stencilnet.pictures.images import Floats


class Graph(Protocol):
    """Writes a task's graph."""

    def __call__(self, shapes: Shapes, any_size: bool = False) -> ModelProto:
        """Return the graph of a task.

        Args:
            shapes: Shapes of the task's full weights by key.
            any_size: Whether the graph takes pictures of any size, without `Architecture.inputs` and `output`.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """An architecture as graphs, and what is done outside them.

    Attributes:
        shapes: Returns the shapes of its weights by key, with a head of one channel, given its arguments.
        graph: Writes the graph of a task.
        inputs: Returns the graph's inputs for one image ``(3, H, W)``.
        output: Returns the raw output of an image, given the graph's for it, ``(C, ...)``, and the image's H and W.
        head: Name of its last layer, as the prefix of its keys.
        columns: Whether tasks may run through the columns of others.
        sides: The sides that a graph for any size takes, in words.
    """

    shapes: Callable[[Mapping[str, Any]], dict[str, tuple[int, ...]]]
    graph: Graph
    inputs: Callable[[Floats], dict[str, Floats]]
    output: Callable[[Floats, int, int], Floats]
    head: str
    columns: bool
    sides: str


ARCHITECTURES: Mapping[str, Architecture] = {
    UNET: Architecture(
        shapes=unet_shapes,
        graph=unet_graph,
        inputs=lambda image: {IMAGE: pad(image)[None]},
        output=crop,
        head="head.",
        columns=True,
        sides="of any length",
    ),
    VGG: Architecture(
        shapes=vgg16_shapes,
        graph=vgg16_graph,
        inputs=vgg16_inputs,
        output=lambda output, _height, _width: output,
        head="classifier.6.",
        columns=False,
        sides=f"of at least {VGG_LEAST}",
    ),
}
