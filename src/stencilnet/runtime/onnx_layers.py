"""The layers of a U-Net one by one, for pictures that run strip by strip; by ONNX Runtime."""

from collections.abc import Callable, Mapping
from functools import cache, cached_property

import onnxruntime as ort

from stencilnet.delta.spec import Array
from stencilnet.graphs.layer import layer_graph
from stencilnet.graphs.writer import IMAGE, OUTPUT
from stencilnet.memory import available_memory
from stencilnet.pictures.images import Floats
from stencilnet.runtime.sessions import as_memory_error, make_session


class OnnxLayers:
    """A task's layers; `stencilnet.tiles.Layers`. Weights are read, and sessions made, at the first use.

    Args:
        width: Channels of the first level.
        weights: Returns the task's full weights by key.
    """

    def __init__(self, width: int, weights: Callable[[], Mapping[str, Array]]) -> None:
        self._width = width
        self._read = weights
        self._session = cache(self._of_layer)

    @property
    def width(self) -> int:
        """Channels of the first level."""
        return self._width

    @property
    def free(self) -> int:
        """Bytes of memory that are free."""
        return available_memory()

    def apply(self, layer: str, x: Floats) -> Floats:
        """Return a layer's output; see `stencilnet.tiles.Layers.apply`."""
        return as_memory_error(lambda: self._output(layer, x))

    def _output(self, layer: str, x: Floats) -> Floats:
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
        return make_session(layer_graph(layer, shapes), self._weights)
