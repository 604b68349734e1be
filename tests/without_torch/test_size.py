"""How much the base installation takes on disk."""

from collections.abc import Iterator
from importlib.metadata import distribution

from packaging.requirements import Requirement

MOST = 250 * 10**6
"""Bytes. Measured: 220 MB (Linux, Python 3.11, NumPy 2.4.6, ONNX Runtime 1.32.0)."""


def installed(name: str, seen: set[str]) -> Iterator[str]:
    """Yield the distributions that one needs without its extras, itself included."""
    if name in seen:
        return
    seen.add(name)
    yield name
    for line in distribution(name).requires or []:
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            yield from installed(needed.name.lower().replace("_", "-"), seen)


def size(name: str) -> int:
    files = [file.locate() for file in distribution(name).files or []]
    return sum(file.stat().st_size for file in files if file.is_file())


def test_the_base_takes_at_most_a_quarter_of_a_gigabyte() -> None:
    sizes = {name: size(name) for name in installed("stencilnet", set())}
    assert {"numpy", "pillow", "safetensors", "onnx", "onnxruntime", "click", "rich"} <= sizes.keys()
    assert all(sizes[name] > 10**6 for name in ("numpy", "pillow", "onnxruntime"))  # the files are found
    assert sum(sizes.values()) <= MOST, sizes
