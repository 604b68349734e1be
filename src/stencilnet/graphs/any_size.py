"""What is otherwise done outside a graph, written into it, so that it takes pictures of any size.

Padding selects rows and columns by their numbers (`Gather`), since runtimes differ in how they pad by reflection.
"""

from onnx import TensorProto

from stencilnet.graphs.padding import LEAST, MULTIPLE
from stencilnet.graphs.writer import Writer

_AXES = (2, 3)


def padded(writer: Writer, image: str) -> str:
    """Pad ``(N, C, H, W)`` as `graphs.padding.pad`, and return the result's name."""
    for axis in _AXES:
        image = writer.add("Gather", [image, _sources(writer, image, axis)], axis=axis)
    return image


def cropped(writer: Writer, output: str, image: str) -> str:
    """Crop ``(N, C, ...)`` to the sides of a picture as `graphs.padding.crop`, and return the result's name."""
    add = writer.add
    for axis in _AXES:
        side = _side(writer, image, axis)
        before = _halved(writer, add("Sub", [_side(writer, output, axis), side]))
        axes = writer.integers(f"axis_{axis}", [axis], [1])
        output = add("Slice", [output, before, add("Add", [before, side]), axes])
    return output


def averaging(writer: Writer, features: str, axis: int, cells: int) -> str:
    """Return the name of a matrix ``(cells, side)`` that averages an axis as PyTorch's adaptive pooling."""
    add, integers = writer.add, writer.integers
    side = _side(writer, features, axis)
    count = integers("cells", [cells], [1])
    first = integers("first_cells", range(cells), [cells, 1])
    next_ = integers("next_cells", range(1, cells + 1), [cells, 1])
    start = add("Div", [add("Mul", [first, side]), count])
    rounding = integers("rounding", [cells - 1], [1])
    end = add("Div", [add("Add", [add("Mul", [next_, side]), rounding]), count])
    places = _range(writer, side)
    inside = add("And", [add("Not", [add("Less", [places, start])]), add("Less", [places, end])])
    inside, length = (add("Cast", [name], to=TensorProto.FLOAT) for name in (inside, add("Sub", [end, start])))
    return add("Div", [inside, length])


def _sources(writer: Writer, image: str, axis: int) -> str:
    """Return the name of `graphs.padding.padding_sources` of an axis."""
    add, integers = writer.add, writer.integers
    side = _side(writer, image, axis)
    multiple = integers("multiple", [MULTIPLE], [1])
    above = add("Add", [side, integers("multiple_less_1", [MULTIPLE - 1], [1])])
    whole = add("Mul", [add("Div", [above, multiple]), multiple])
    whole = add("Max", [whole, integers("least", [LEAST], [1])])
    total = add("Sub", [whole, side])
    before = _halved(writer, total)
    after = add("Sub", [total, before])
    places = add("Sub", [_range(writer, whole), before])
    last = add("Sub", [side, integers("one", [1], [1])])
    mirrored = add("Sub", [last, add("Abs", [add("Sub", [last, add("Abs", [places])])])])
    repeated = add("Min", [add("Max", [places, integers("zero", [0], [1])]), last])
    return add("Where", [add("Less", [after, side]), mirrored, repeated])


def _side(writer: Writer, x: str, axis: int) -> str:
    """Return the name of the length of an axis, ``(1,)``."""
    return writer.add("Shape", [x], start=axis, end=axis + 1)


def _halved(writer: Writer, number: str) -> str:
    return writer.add("Div", [number, writer.integers("two", [2], [1])])


def _range(writer: Writer, length: str) -> str:
    """Return the name of the numbers from 0 to below `length`, which is ``(1,)``."""
    start, step = writer.integers("start", [0], []), writer.integers("step", [1], [])
    return writer.add("Range", [start, writer.add("Squeeze", [length]), step])
