"""Graphs whose weights are in the file."""

from collections.abc import Mapping

from onnx import ModelProto, TensorProto, numpy_helper

from stencilnet.delta.spec import Array

_MOST = (1 << 31) - (1 << 24)
"""Largest number of bytes of weights in a file, with room for the graph: protobuf's limit is 2 GiB."""


def given_names(model: ModelProto) -> list[str]:
    """Return the names of a graph's initializers without data."""
    return [tensor.name for tensor in model.graph.initializer if tensor.external_data]


def filled(model: ModelProto, weights: Mapping[str, Array]) -> ModelProto:
    """Return a graph with the data of its initializers.

    Args:
        model: The graph.
        weights: Arrays by name, at least those of the initializers without data.

    Raises:
        ValueError: If they take more bytes than a file may have.
    """
    size = sum(weights[name].nbytes for name in given_names(model))
    if size > _MOST:
        raise ValueError(
            f"Expected weights of at most {_MOST} bytes, since an ONNX file of one piece holds 2 GiB, but got {size}. "
            "Run the bundle by stencilnet instead."
        )
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.initializer[:]
    result.graph.initializer.extend(_filled(tensor, weights) for tensor in model.graph.initializer)
    return result


def _filled(tensor: TensorProto, weights: Mapping[str, Array]) -> TensorProto:
    return numpy_helper.from_array(weights[tensor.name], tensor.name) if tensor.external_data else tensor
