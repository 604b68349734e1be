"""The graph of a network that stencilnet does not know, which lies beside the bundle's files (`docs/format.md`)."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from stencilnet.bundle.disk import read_file
from stencilnet.bundle.format import GRAPH, BundleError
from stencilnet.bundle.schema import BundleConfig
from stencilnet.delta import Spec
from stencilnet.delta.spec import Array
from stencilnet.graphs.architectures import Architecture
from stencilnet.graphs.writer import IMAGE, OUTPUT, Shapes, given

_FORMAT = "stencilnet graph 1"

AGAIN = "Write it again: stencil export BUNDLE --graph MODULE:FUNCTION."
"""Remedy for a graph at fault."""


def labelled(model: ModelProto, backbone: str) -> ModelProto:
    """Mark a graph as that of a backbone, by the SHA-256 of its file, and return it."""
    helper.set_model_props(model, {"format": _FORMAT, "backbone": backbone})
    return model


def read_graph(root: Path, config: BundleConfig, shared: Mapping[str, Array]) -> Architecture:
    """Read the graph that lies beside a bundle's files.

    Args:
        root: The bundle's folder.
        config: Its config.
        shared: Its shared weights.

    Raises:
        BundleError: If the file is damaged, belongs to another backbone, or needs other weights than the bundle's.
    """
    file = root / GRAPH
    model = ModelProto()
    try:
        model.ParseFromString(read_file(root, file))
    except BundleError:
        raise
    except Exception as error:  # protobuf's, whose package is not ours to name
        raise BundleError(file, "not a graph", "an ONNX file", f"this: {error}", AGAIN) from error
    found = {entry.key: entry.value for entry in model.metadata_props}
    wanted = {"format": _FORMAT, "backbone": config.backbone}
    for key, value in wanted.items():
        if found.get(key) != value:
            raise BundleError(file, "the graph of another backbone", f"{key} {value}", f"{found.get(key)}", AGAIN)
    weights = {key: Spec.of(array).shape for key, array in shared.items()}
    heads = {key: (1, *spec.shape) for key, spec in config.head_tensors.items()}
    _check(model, weights | heads, file)
    return Architecture(
        shapes=lambda _arguments: weights | heads,
        graph=lambda shapes, any_size=False: shaped(model, shapes),  # noqa: ARG005 (sizes are the network's own)
        inputs=lambda image: {IMAGE: image[None]},
        output=lambda output, _height, _width: output,
        head=f"{config.head}.",
        columns=False,
        sides="as the network takes them",
    )


def _check(model: ModelProto, weights: Shapes, file: Path) -> None:
    """Refuse a graph with other inputs, outputs or weights than a bundle's."""
    ends = [value.name for value in (*model.graph.input, *model.graph.output)]
    if ends != [IMAGE, OUTPUT]:
        raise BundleError(file, "other inputs and outputs", f"{[IMAGE, OUTPUT]}", f"{ends}", AGAIN)
    given_here = [tensor for tensor in model.graph.initializer if tensor.external_data]
    for tensor in given_here:
        shape = weights.get(tensor.name)
        if tuple(tensor.dims) != shape:
            raise BundleError(file, f"another weight `{tensor.name}`", f"{shape}", f"{tuple(tensor.dims)}", AGAIN)
    # ONNX Runtime would read the data of any other tensor from the file that it names.
    functions = [node for function in model.functions for node in function.node]
    inner = [*_tensors(model.graph), *_inner(functions)]
    if sum(bool(tensor.external_data) for tensor in inner) != len(given_here):
        raise BundleError(file, "tensors outside the bundle", "none", "a tensor whose data are in another file", AGAIN)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Return all tensors of a graph."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _inner(graph.node)


def _inner(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    """Return all tensors of nodes' attributes."""
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _tensors(graph)


def shaped(model: ModelProto, shapes: Shapes) -> ModelProto:
    """Return the graph with the shapes of a task's weights: its head has channels of its own."""
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.initializer[:]
    for tensor in model.graph.initializer:
        own = given(tensor.name, shapes[tensor.name], tensor.data_type) if tensor.external_data else tensor
        result.graph.initializer.append(own)
    return result
