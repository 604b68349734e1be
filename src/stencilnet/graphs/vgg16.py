"""VGG16 as an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto

from stencilnet.bundle.architecture import VGG_MEAN, VGG_STD, check_vgg_sides
from stencilnet.graphs.any_size import averaging
from stencilnet.graphs.writer import IMAGE, Shapes, Writer
from stencilnet.pictures.images import Floats

ROWS, COLUMNS = "rows", "columns"
"""Names of the inputs that average the last features into cells of a fixed number."""

_CELLS = 7
"""Cells of either axis, into which the features before the fully connected layers are averaged."""

_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of each block's convolutions; a pooling that halves the sides ends it."""

_DENSE = {"classifier.0": 4096, "classifier.3": 4096, "classifier.6": 1}
"""Outputs of the fully connected layers, by their names; the last is the head."""


def vgg16_shapes(_arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a VGG16's weights by state-dict key, with a head of one channel; it has no arguments."""
    shapes: dict[str, tuple[int, ...]] = {}
    given, place = 3, 0
    for block in _BLOCKS:
        for channels in block:
            shapes |= {f"features.{place}.weight": (channels, given, 3, 3), f"features.{place}.bias": (channels,)}
            given, place = channels, place + 2  # the convolution and its ReLU
        place += 1  # the pooling
    given *= _CELLS**2
    for layer, channels in _DENSE.items():
        shapes |= {f"{layer}.weight": (channels, given), f"{layer}.bias": (channels,)}
        given = channels
    return shapes


def vgg16_graph(shapes: Shapes, any_size: bool = False) -> ModelProto:
    """Return the graph of a task that runs through a VGG16.

    Args:
        shapes: Shapes of the task's full weights by key.
        any_size: Whether the picture is the graph's only input. By default, `vgg16_inputs` makes the others.

    Returns:
        A graph ``(N, 3, H, W) -> (N, C)`` whose initializers have these keys and no data.
    """
    writer = Writer(shapes)
    shifted = writer.add("Sub", [IMAGE, writer.constant("mean", VGG_MEAN, [1, 3, 1, 1])])
    x = writer.add("Div", [shifted, writer.constant("std", VGG_STD, [1, 3, 1, 1])])
    place = 0
    for block in _BLOCKS:
        for _ in block:
            names = [f"features.{place}.weight", f"features.{place}.bias"]
            x = writer.add("Relu", [writer.conv(x, names, padding=1)])
            place += 2
        x = writer.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        place += 1
    if any_size:
        rows = averaging(writer, x, 2, _CELLS)
        columns = writer.add("Transpose", [averaging(writer, x, 3, _CELLS)])
    else:
        rows, columns = writer.input(ROWS, (_CELLS, "cells_high")), writer.input(COLUMNS, ("cells_wide", _CELLS))
    x = writer.add("Flatten", [writer.add("MatMul", [writer.add("MatMul", [rows, x]), columns])])
    *hidden, head = _DENSE
    for layer in hidden:
        x = writer.add("Relu", [writer.dense(x, layer)])
    return writer.model(writer.dense(x, head), ["batch", writer.channels(f"{head}.weight")])


def vgg16_inputs(image: Floats) -> dict[str, Floats]:
    """Return the inputs of the graph for one image.

    Args:
        image: ``(3, H, W)`` float32 in [0, 1], with sides of at least 32.

    Raises:
        ValueError: If a side is smaller.
    """
    height, width = image.shape[1:]
    check_vgg_sides(height, width)
    return {IMAGE: image[None], ROWS: _averaging(height), COLUMNS: np.ascontiguousarray(_averaging(width).T)}


def _averaging(side: int) -> Floats:
    """Return the matrix ``(7, side / 32)`` that averages an axis of the last features as PyTorch's adaptive pooling."""
    features = side // 2 ** len(_BLOCKS)
    matrix = np.zeros((_CELLS, features), np.float32)
    for cell in range(_CELLS):
        start, end = cell * features // _CELLS, -(-(cell + 1) * features // _CELLS)
        matrix[cell, start:end] = 1 / (end - start)
    return matrix
