"""The paper's U-Net as an ONNX graph: one column, or the columns of a progressive network."""

from collections.abc import Collection, Mapping
from typing import Any

from onnx import ModelProto

from stencilnet.delta import lateral_of, split_columns
from stencilnet.graphs.any_size import cropped, padded
from stencilnet.graphs.writer import IMAGE, Shapes, Writer

_ENCODER, _DECODER = "2345", "6789"
"""Levels after the first, by the digit in the names of their layers."""

_EPSILON = 1e-5
"""Added to the variance by every instance norm."""


def unet_shapes(arguments: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a U-Net's weights by state-dict key, with a head of one channel.

    Args:
        arguments: ``width`` and, unless it is ``instance``, ``norm``, as in a bundle's config.
    """
    width: int = arguments["width"]
    first, second, third, fourth = width, 2 * width, 4 * width, 8 * width
    outputs = dict(zip("123456789", (first, second, third, fourth, fourth, third, second, first, first), strict=True))
    norms = arguments.get("norm", "instance") != "instance"
    shapes: dict[str, tuple[int, ...]] = {}
    given = 3
    for level, channels in outputs.items():
        if level in _DECODER:
            shapes |= {f"up{level}.weight": (given, given, 2, 2), f"up{level}.bias": (given,)}
            given *= 2  # the skip has as many channels
        for place in "12":
            layer = f"{level}_{place}"
            shapes |= {f"conv{layer}.weight": (channels, given, 3, 3), f"conv{layer}.bias": (channels,)}
            if norms:
                shapes |= {f"norm{layer}.weight": (channels,), f"norm{layer}.bias": (channels,)}
            given = channels
    return shapes | {"head.weight": (1, given, 1, 1), "head.bias": (1,)}


def unet_graph(shapes: Shapes, any_size: bool = False) -> ModelProto:
    """Return the graph of a task that runs through a U-Net.

    Args:
        shapes: Shapes of the task's full weights by key, with the columns that it needs (`delta.columns`).
        any_size: Whether the graph takes pictures of any size. By default, sides are multiples of 16, of at least 32:
            pad the picture before, and crop the output (`graphs.padding`).

    Returns:
        A graph ``(N, 3, H, W) -> (N, C, H, W)`` whose initializers have these keys and no data.
    """
    writer = Writer(shapes)
    levels: dict[str, dict[str, str]] = {}
    image = padded(writer, IMAGE) if any_size else IMAGE
    output = ""
    for column, names in split_columns({key: key for key in shapes}).items():
        run = _Column(writer, names, levels)
        output, levels[column] = run.output(image), run.levels
    if any_size:
        output = cropped(writer, output, IMAGE)
    return writer.model(output, ["batch", writer.channels("head.weight"), "height", "width"])


class _Column:
    """Writes one column.

    Args:
        writer: The writer.
        names: Names of the column's weights in the graph, by their keys in the column.
        earlier: Inputs of the levels of earlier columns, by column and by the level's first layer.

    Attributes:
        levels: Inputs of this column's levels, once `output` was called.
    """

    def __init__(self, writer: Writer, names: Mapping[str, str], earlier: Mapping[str, Mapping[str, str]]) -> None:
        self._writer = writer
        self._names = names
        self._earlier = earlier
        self._adapters = [(found, name) for key, name in names.items() if (found := lateral_of(key)) is not None]
        self.levels: dict[str, str] = {}

    def output(self, image: str) -> str:
        """Write all layers and return the name of the raw output."""
        add = self._writer.add
        skips = [self._block("1_2", self._block("1_1", image))]
        for level in _ENCODER:
            skips.append(self._level(level, add("MaxPool", [skips[-1]], kernel_shape=[2, 2], strides=[2, 2])))
        x = skips.pop()
        for level in _DECODER:
            weights = [self._writer.weight(name) for name in self._layer(f"up{level}")]
            up = add("ConvTranspose", [x, *weights], strides=[2, 2])
            x = self._level(level, add("Concat", [skips.pop(), up], axis=1))
        return self._writer.conv(x, self._layer("head"))

    def _level(self, level: str, x: str) -> str:
        """Write the two blocks of a level; the first is where columns are joined (Rusu et al. 2016)."""
        layer = f"conv{level}_1"
        self.levels[layer] = x
        adapters = [(task, name) for (task, key), name in self._adapters if key == f"{layer}.weight"]
        joined = [self._writer.conv(self._earlier[task][layer], [name]) for task, name in adapters]
        return self._block(f"{level}_2", self._block(f"{level}_1", x, joined))

    def _block(self, place: str, x: str, added: Collection[str] = ()) -> str:
        """Write a convolution, the sum with what is added, an instance norm and a ReLU."""
        out = self._writer.conv(x, self._layer(f"conv{place}"), padding=1)
        for other in added:
            out = self._writer.add("Add", [out, other])
        channels = self._writer.channels(self._names[f"conv{place}.weight"])
        scale_and_shift = [self._writer.weight(name) for name in self._layer(f"norm{place}")] or [
            self._writer.constant(f"{name}_{channels}", [value] * channels, [channels])
            for name, value in (("ones", 1.0), ("zeros", 0.0))
        ]
        return self._writer.add(
            "Relu", [self._writer.add("InstanceNormalization", [out, *scale_and_shift], epsilon=_EPSILON)]
        )

    def _layer(self, layer: str) -> list[str]:
        """Return the names of a layer's weight and bias, as far as it has them."""
        return [self._names[key] for key in (f"{layer}.weight", f"{layer}.bias") if key in self._names]
