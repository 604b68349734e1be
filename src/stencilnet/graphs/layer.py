"""One layer of the U-Net as an ONNX graph, for pictures that run strip by strip."""

from onnx import ModelProto

from stencilnet.graphs.writer import IMAGE, Shapes, Writer


def layer_graph(layer: str, shapes: Shapes) -> ModelProto:
    """Return the graph of a convolution that is padded on the left and right only, or of a transposed one of stride 2.

    Args:
        layer: The layer's name. Transposed convolutions are those called ``up...``.
        shapes: Shapes of the task's full weights by key.

    Returns:
        A graph ``(N, C, H, W) -> (N, O, ...)`` whose initializers have the weights' keys and no data.
    """
    names = [f"{layer}.weight", f"{layer}.bias"]
    outputs, inputs = shapes[names[0]][:2]
    transposed = layer.startswith("up")
    if transposed:
        outputs, inputs = inputs, outputs
    writer = Writer(shapes, channels=inputs)
    if transposed:
        output = writer.add("ConvTranspose", [IMAGE, *map(writer.weight, names)], strides=[2, 2])
    else:
        side = shapes[names[0]][3] // 2
        output = writer.add("Conv", [IMAGE, *map(writer.weight, names)], pads=[0, side, 0, side])
    return writer.model(output, ["batch", outputs, "rows", "columns"])
