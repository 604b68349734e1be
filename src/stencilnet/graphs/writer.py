"""A small writer of ONNX graphs whose weights are not in the file but given to the session by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

Shapes = Mapping[str, Sequence[int]]
"""Shapes of weights by name."""

IMAGE, OUTPUT = "image", "output"
"""Names of a graph's picture, ``(N, 3, H, W)`` float32 in [0, 1], and of its raw output."""

_OPSET, _IR = 18, 9
"""Versions of the operators and of the file format. Runtimes refuse versions newer than they know."""


class Writer:
    """Collects the nodes of one graph.

    Args:
        shapes: Shapes of the weights by name. Those that nodes use become initializers without data.
        channels: Channels of the graph's input; default: a picture's 3.
    """

    def __init__(self, shapes: Shapes, channels: int = 3) -> None:
        self._shapes = shapes
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._inputs: dict[str, tuple[str | int, ...]] = {IMAGE: ("batch", channels, "height", "width")}
        self._used: dict[str, None] = {}

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        out = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def weight(self, name: str) -> str:
        """Declare a weight that the graph needs, and return its name."""
        self._used[name] = None
        return name

    def input(self, name: str, dimensions: tuple[str | int, ...]) -> str:
        """Add a further float32 input and return its name."""
        self._inputs[name] = dimensions
        return name

    def constant(self, name: str, values: Sequence[float], shape: Sequence[int]) -> str:
        """Add a float32 constant and return its name, which always stands for the same values."""
        self._constants[name] = helper.make_tensor(name, TensorProto.FLOAT, list(shape), list(values))
        return name

    def integers(self, name: str, values: Sequence[int], shape: Sequence[int]) -> str:
        """Add an int64 constant and return its name, which always stands for the same values."""
        self._constants[name] = helper.make_tensor(name, TensorProto.INT64, list(shape), list(values))
        return name

    def conv(self, x: str, names: Sequence[str], padding: int = 0) -> str:
        """Add a convolution of stride 1 with a weight and perhaps a bias, padded by zeros on all sides."""
        return self.add("Conv", [x, *map(self.weight, names)], pads=[padding] * 4)

    def dense(self, x: str, layer: str) -> str:
        """Add a fully connected layer with a bias."""
        return self.add("Gemm", [x, self.weight(f"{layer}.weight"), self.weight(f"{layer}.bias")], transB=1)

    def channels(self, name: str) -> int:
        """Return the output channels of a convolution's weight."""
        return self._shapes[name][0]

    def model(self, output: str, dimensions: Sequence[str | int]) -> ModelProto:
        """Return the graph with `output`, of these dimensions, as its only output, under the name `OUTPUT`."""
        self._nodes.append(helper.make_node("Identity", [output], [OUTPUT]))
        inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(d)) for n, d in self._inputs.items()]
        result = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, list(dimensions))
        weights = [given(name, self._shapes[name]) for name in self._used]
        graph = helper.make_graph(self._nodes, "task", inputs, [result], [*weights, *self._constants.values()])
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, producer_name="stencilnet", opset_imports=[opset], ir_version=_IR)


def given(name: str, shape: Sequence[int], data_type: int = TensorProto.FLOAT) -> TensorProto:
    """Return an initializer, by default of float32, whose values the session gets from memory, by its name."""
    tensor = TensorProto(name=name, data_type=data_type, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=name)
    return tensor
