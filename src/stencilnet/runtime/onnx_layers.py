"""The layers of a U-Net one by one, for pictures that run strip by strip; by ONNX Runtime."""

from collections.abc import Callable, Mapping
from functools import cache, cached_property

import onnxruntime as ort
from onnx import ModelProto

from stencilnet.delta.spec import Array
from stencilnet.graphs.layer import layer_graph
from stencilnet.graphs.writer import IMAGE, OUTPUT
from stencilnet.memory import available_memory
from stencilnet.pictures.images import Floats


class OnnxLayers:
    """A task's layers; `stencilnet.tiles.Layers`. Weights are read, and sessions made, at the first use.

    Args:
        width: Channels of the first level.
        weights: Returns the task's full weights by key.
        session: Makes a session of a graph with these weights.
    """

    def __init__(
        self,
        width: int,
        weights: Callable[[], Mapping[str, Array]],
        session: Callable[[ModelProto, Mapping[str, Array]], ort.InferenceSession],
    ) -> None:
        self._width = width
        self._read = weights
        self._make = session
        self._session = cache(self._of_layer)

    @property
    def width(self) -> int:
        """Channels of the first level."""
        return self._width

    @property
    def free(self) -> int | None:
        """Bytes of memory that are free; None if unknown."""
        return available_memory()

    def apply(self, layer: str, x: Floats) -> Floats:
        """Return a layer's output without any padding; see `stencilnet.tiles.Layers.apply`."""
        (output,) = self._session(layer).run([OUTPUT], {IMAGE: x[None]})
        found: Floats = output[0]
        return found

    def weight(self, key: str) -> Floats | None:
        """Return a norm's scale or shift; None if the network has none."""
        return self._weights.get(key)

    @cached_property
    def _weights(self) -> Mapping[str, Array]:
        return self._read()

    def _of_layer(self, layer: str) -> ort.InferenceSession:
        shapes = {key: array.shape for key, array in self._weights.items()}
        return self._make(layer_graph(layer, shapes), self._weights)
