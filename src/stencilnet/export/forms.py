"""A graph whose weights are computed from inputs that tasks give, each with a default that changes nothing."""

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import Any, Literal

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from stencilnet.delta.spec import Array

WeightForm = Literal["bits", "codes", "whole"]
"""How a task changes a weight: packed bits that select; codes and a step that are added; another weight."""

BITS, CODES, STEP, WHOLE = ":bits", ":codes", ":step", ":whole"
"""What follows a weight's key in the names of inputs."""

CHANNELS = "channels"
"""Name of a task's number of output channels."""

_TABLE, _ZERO = "weights:bits", "weights:zero"
_NONE = np.zeros(1, np.float32)


def whole_name(key: str, forms: frozenset[WeightForm]) -> str:
    """Return the name of the input that is a weight itself: the key, unless the weight is computed from it."""
    return key if forms <= {"whole"} else key + WHOLE


def with_forms(model: ModelProto, forms: Mapping[str, frozenset[WeightForm]], heads: Collection[str]) -> ModelProto:
    """Return a graph whose weights tasks can change by further inputs, each with a default that changes nothing.

    Args:
        model: A graph with its weights.
        forms: The forms in which tasks change weights, by key. Other weights are constants, and keys that the graph
            does not use are ignored.
        heads: Keys of weights whose first dimension, the output channels, tasks may change, too.
    """
    result = ModelProto()
    result.CopyFrom(model)
    graph, steps = result.graph, _Steps()
    del graph.initializer[:], graph.node[:]
    for tensor in model.graph.initializer:
        steps.weight(tensor, forms.get(tensor.name, frozenset()), tensor.name in heads)
    graph.initializer.extend(steps.initializers)
    graph.input.extend(steps.inputs)
    graph.node.extend([*steps.nodes, *model.graph.node])
    graph.output[0].type.tensor_type.shape.dim[1].dim_param = CHANNELS
    return result


class _Steps:
    """Collects what computes weights.

    Attributes:
        initializers: Constants, and the defaults of inputs.
        inputs: The inputs.
        nodes: The nodes.
    """

    def __init__(self) -> None:
        self.initializers = [numpy_helper.from_array(*named) for named in ((_bits_of_bytes(), _TABLE), (_NONE, _ZERO))]
        self.inputs: list[ValueInfoProto] = []
        self.nodes: list[NodeProto] = []

    def weight(self, tensor: TensorProto, forms: frozenset[WeightForm], head: bool) -> None:
        """Write a weight that tasks change in these forms."""
        key, shape = tensor.name, tuple(tensor.dims)
        base = TensorProto()
        base.CopyFrom(tensor)
        base.name = value = whole_name(key, forms)
        self.initializers.append(base)
        if "whole" in forms:
            sides = (CHANNELS, *shape[1:]) if head else shape
            self.inputs.append(helper.make_tensor_value_info(base.name, base.data_type, sides))
        if "bits" in forms:
            value = self._selected(value, key, shape)
        if "codes" in forms:
            value = self._moved(value, key, shape)
        if value != key:
            self.nodes[-1].output[0] = key

    def _selected(self, value: str, key: str, shape: tuple[int, ...]) -> str:
        """Write ``where(bits, value, 0)`` of packed bits, the lowest first."""
        count = prod(shape)
        packed = np.full(-(-count // 8), 255, np.uint8)
        index = self._add("Cast", [self._given(key + BITS, packed, packed.shape)], to=TensorProto.INT32)
        flat = self._add("Reshape", [self._add("Gather", [_TABLE, index]), self._numbers(f"{key}:flat", [-1])])
        if count % 8:
            ends = [self._numbers(f"{key}:{name}", [at]) for name, at in (("start", 0), ("end", count))]
            flat = self._add("Slice", [flat, *ends])
        bits = self._add("Reshape", [flat, self._numbers(f"{key}:shape", shape)])
        return self._add("Where", [bits, value, _ZERO])

    def _moved(self, value: str, key: str, shape: tuple[int, ...]) -> str:
        """Write ``value + step * codes``."""
        none = np.zeros([1] * len(shape), np.int8)  # added to every weight
        sides = [f"{key}:{axis}" for axis in range(len(shape))]
        codes = self._add("Cast", [self._given(key + CODES, none, sides)], to=TensorProto.FLOAT)
        change = self._add("Mul", [self._given(key + STEP, _NONE, [1]), codes])
        return self._add("Add", [value, change])

    def _given(self, name: str, default: Array, sides: Sequence[int | str]) -> str:
        """Add an input with a default and return its name."""
        tensor = numpy_helper.from_array(default, name)
        self.initializers.append(tensor)
        self.inputs.append(helper.make_tensor_value_info(name, tensor.data_type, sides))
        return name

    def _numbers(self, name: str, numbers: Sequence[int]) -> str:
        self.initializers.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
        return name

    def _add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        out = f"weights:{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out


def _bits_of_bytes() -> Array:
    """Return the bits of every byte, ``(256, 8)`` bool, the lowest first."""
    return np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(bool)
