"""Writes the graph of any network beside its bundle's files, so that ONNX Runtime runs its tasks without PyTorch.

The network's weights are inputs of what is traced, so the graph has none of its own, by whatever names and however the
exporter rewrites it.
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnxscript  # noqa: F401 (torch.onnx needs it)
import torch
from onnx import ModelProto, TensorShapeProto, ValueInfoProto
from torch import Tensor, nn
from torch.export import Dim
from torch.func import functional_call

from stencilnet.bundle import open_bundle
from stencilnet.bundle.architecture import KNOWN
from stencilnet.bundle.format import GRAPH
from stencilnet.graphs.stored import labelled, shaped
from stencilnet.graphs.writer import IMAGE, OUTPUT, given
from stencilnet.masks import arrays_of
from stencilnet.models import load
from stencilnet.models.checking import check_forward
from stencilnet.runtime.sessions import make_session
from stencilnet.storage import check_writable, write_file

NEAR = 1e-3
"""Largest difference of raw outputs from PyTorch's, relative to the largest output if that is above 1."""

_OPSET = 18
_CHANNELS = 3
"""Output channels of the head that is traced; other tasks have others."""

_SIDE = 64
"""Side of the images that are traced, if the bundle's tasks were learned on no crops."""


class GraphError(ValueError):
    """A network cannot be written as a graph; the message says why."""


def write_graph(path: str | Path, backbone: nn.Module) -> Path:
    """Write ``graph.onnx`` beside a bundle's files: the network's structure, without weights. It replaces any other.

    The graph is run by ONNX Runtime on images of several sizes, with heads of several channels, and must give what the
    network gives.

    Args:
        path: The bundle's folder.
        backbone: The network, as for `stencilnet.load`; the bundle's weights overwrite its own.

    Returns:
        The file.

    Raises:
        BundleError: If the bundle cannot be opened, or `backbone` does not fit.
        GraphError: If the network cannot be written as a graph, or the graph gives other outputs.
        OSError: If the bundle cannot be written to.
        ValueError: If the bundle needs no graph, or as `check_forward`.
        TypeError: If the network returns anything but one tensor.
    """
    root = Path(path)
    bundle = open_bundle(root)
    if bundle.config.architecture in KNOWN:
        raise ValueError(
            f"Expected a bundle of a network that stencilnet does not know, but got {bundle.config.architecture}. "
            "Its graphs are written when tasks are first used: nothing is to be done."
        )
    check_writable(root)
    net = load(root, backbone=backbone)
    side = _side(record.recipe for record in bundle.records.values())
    check_forward(net.backbone, net.head, side)
    weights = dict(net.backbone.state_dict())
    heads = net.layout.head
    model = _traced(net.backbone, weights, heads, side)
    _compare(model, net.backbone, weights, heads, side)
    write_file(root / GRAPH, labelled(model, bundle.config.backbone).SerializeToString())
    return root / GRAPH


class _Given(nn.Module):
    """A network as a function of its weights, too; it is no submodule, so that it has no weights of its own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = (network,)

    def forward(self, images: Tensor, weights: dict[str, Tensor]) -> Tensor:
        output: Tensor = functional_call(self._network[0], weights, (images,))
        return output


def _traced(network: nn.Module, weights: Mapping[str, Tensor], heads: Iterable[str], side: int) -> ModelProto:
    """Return the network's graph, whose initializers have the weights' keys and no data."""
    given_weights = _with_heads(weights, heads, _CHANNELS)
    sides = (side, 2 * side) if _runs(network, weights, side, 2 * side) else (side, side)
    images = torch.rand(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    free = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}  # those on which the network depends become fixed
    shapes = (free, {key: {0: Dim.AUTO} if key in heads else None for key in given_weights})
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about PyTorch's own code
            program = torch.export.export(_Given(network), (images, given_weights), dynamic_shapes=shapes, strict=False)
            exported = torch.onnx.export(
                program,
                input_names=[IMAGE, *given_weights],
                output_names=[OUTPUT],
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # PyTorch has no class for it
        reason = str(error).strip().partition("\n")[0]
        raise GraphError(
            f"PyTorch cannot write {type(network).__name__} as an ONNX graph: {reason}. "
            "Run its tasks by PyTorch: Engine(path, backbone=...)."
        ) from error
    assert exported is not None, "it was not told to write a file"
    return _without_weights(exported.model_proto, heads)


def _without_weights(model: ModelProto, heads: Iterable[str]) -> ModelProto:
    """Turn inputs that are weights into initializers without data, and drop what only the exporter needs."""
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    images, *weights = graph.input
    names = {_symbol(value, 0): "channels" for value in weights if value.name in heads}
    names |= {_symbol(images, place): name for place, name in ((0, "batch"), (2, "height"), (3, "width"))}
    for value in weights:
        if value.name in used:
            shape = [1 if value.name in heads and not place else d.dim_value for place, d in enumerate(_sides(value))]
            graph.initializer.append(given(value.name, shape, value.type.tensor_type.elem_type))
    del graph.input[1:], graph.value_info[:], model.metadata_props[:]
    for part in (graph, *graph.node, *graph.input, *graph.output):
        part.doc_string = ""  # places in files of this machine
        del part.metadata_props[:]
    for value in (*graph.input, *graph.output):
        for side in _sides(value):
            if side.dim_param in names:
                side.dim_param = names[side.dim_param]
    return model


def _sides(value: ValueInfoProto) -> list[TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _symbol(value: ValueInfoProto, place: int) -> str:
    return str(_sides(value)[place].dim_param)


def _compare(
    model: ModelProto, network: nn.Module, weights: Mapping[str, Tensor], heads: Iterable[str], side: int
) -> None:
    """Refuse a graph that gives other outputs than its network, or runs fewer sizes.

    Raises:
        GraphError: If it does.
    """
    for channels, count, height, width in (
        (_CHANNELS, 1, side, side),
        (1, 1, side, 2 * side),
        (_CHANNELS + 2, 2, 2 * side, side),
        (2, 1, side + 1, side + 7),
    ):
        own = _with_heads(weights, heads, channels)
        if not _runs(network, own, height, width):
            continue
        images = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.no_grad():
            expected = functional_call(network, own, (images,)).numpy()
        what = f"{count} images of {width}x{height} px and {channels} output channels"
        try:
            session = make_session(shaped(model, {key: tensor.shape for key, tensor in own.items()}), arrays_of(own))
            (found,) = session.run([OUTPUT], {IMAGE: images.numpy()})
        except Exception as error:  # ONNX Runtime has many classes for it
            raise GraphError(f"ONNX Runtime cannot run the graph on {what}, as PyTorch does: {error}") from error
        difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
        if not difference <= NEAR * max(1.0, float(np.abs(expected).max())):
            raise GraphError(
                f"Expected the graph to give the network's outputs for {what}, but they differ by {difference:.2g}. "
                "Does it decide by its input's values or size? Run its tasks by PyTorch: Engine(path, backbone=...)."
            )


def _with_heads(weights: Mapping[str, Tensor], heads: Iterable[str], channels: int) -> dict[str, Tensor]:
    """Return weights with a random head of other output channels."""
    generator = torch.Generator().manual_seed(channels)
    shapes = {key: (channels, *weights[key].shape[1:]) for key in heads}
    return {**weights, **{key: torch.rand(shape, generator=generator) / 9 for key, shape in shapes.items()}}


def _runs(network: nn.Module, weights: Mapping[str, Tensor], height: int, width: int) -> bool:
    """Return whether a network takes images of a size."""
    try:
        with torch.no_grad():
            functional_call(network, dict(weights), (torch.zeros(1, 3, height, width),))
    except (RuntimeError, ValueError, AssertionError, TypeError):
        return False
    return True


def _side(recipes: Iterable[Mapping[str, object]]) -> int:
    """Return the side of the crops on which a bundle's first task that has some was learned."""
    for recipe in recipes:
        view = recipe.get("view")
        crop = view.get("crop") if isinstance(view, Mapping) else None
        if isinstance(crop, int) and crop >= 1:
            return crop
    return _SIDE
