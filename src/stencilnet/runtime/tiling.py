"""Runs a picture whole where it fits in memory, and strip by strip where it does not."""

from typing import Literal

from stencilnet.memory import available_memory
from stencilnet.pictures.images import Floats
from stencilnet.runtime.backends import Backend
from stencilnet.tiles import Layers, run_unet
from stencilnet.tiles.padding import cropped, padded
from stencilnet.tiles.unet import KEPT_AT_FULL

Tile = int | Literal["auto", "never"]
"""``auto`` runs a picture in strips if the whole does not fit in memory; a number, in strips of as many rows of pixels;
``never``, whole."""

_WHOLE = 9
"""Floats per pixel and channel of the first level that the whole network has in memory at once. 7.5 were measured with
PyTorch at width 16, and with ONNX Runtime 8.5 at width 16 and 8.1 at width 64."""

_SHARE = 0.8
"""Share of the free memory that a picture may take: others need memory too."""

_SMALL = 256 * 2**20
"""Bytes of feature maps that always fit: asking for the free memory takes longer than it is worth."""

_STRIP = 128 * 2**20
_STRIP_FLOATS = 6
"""Bytes of memory for a strip's maps at full resolution, and how many maps of the first level's channels there are."""

LEAST_STRIP, _MOST = 16, 128
"""Rows of strips. Few are slow, since neighbouring strips compute some rows twice; many do not fit the processor's
cache."""


def forward(backend: Backend, image: Floats, task: str, channels: int, tile: Tile = "auto") -> Floats:
    """Return a task's raw output for one input.

    Args:
        backend: Runs the task.
        image: ``(3, H, W)`` float32 in [0, 1].
        task: The task's name.
        channels: Output channels of its head.
        tile: Whether the picture runs in strips. Networks other than U-Nets of one column always run whole.

    Raises:
        BundleError, MemoryError, TooLargeError: As for `stencilnet.runtime.backends.Backend.forward`.
    """
    if tile == "never":
        return backend.forward(image, task, channels)
    with backend.layers(task) as layers:
        divisible = layers is not None
        if layers is not None and (tile != "auto" or not _fits(layers, image)):
            return _in_strips(layers, image, channels, tile, keep=_fits_at_full(layers, image))
    try:
        return backend.forward(image, task, channels)
    except MemoryError:
        if not divisible:
            raise
    # Not in the handler, whose error refers to all arrays of the attempt.
    with backend.layers(task) as layers:
        assert layers is not None
        return _in_strips(layers, image, channels, tile, keep=False)


def whole_bytes(channels: int, height: int, width: int) -> int:
    """Return how many bytes of memory a picture's feature maps take at most, if it runs as a whole.

    Args:
        channels: Channels of the network's first level.
        height: The picture's rows.
        width: Its columns.
    """
    return 4 * _WHOLE * channels * height * width


def _fits(layers: Layers, image: Floats) -> bool:
    """Return whether a picture fits in memory as a whole, where the layers run."""
    taken = whole_bytes(layers.width, *image.shape[1:])
    return taken <= _SMALL or taken <= _SHARE * layers.free


def _fits_at_full(layers: Layers, image: Floats) -> bool:
    """Return whether there is memory for the maps at full resolution that strips can keep, which is the machine's."""
    _, height, width = image.shape
    taken: float = 4 * KEPT_AT_FULL * layers.width * height * width
    return taken <= _SHARE * available_memory()


def _in_strips(layers: Layers, image: Floats, channels: int, tile: Tile, *, keep: bool) -> Floats:
    _, height, width = image.shape
    fitting = _STRIP // (4 * _STRIP_FLOATS * layers.width * width)
    rows = tile if isinstance(tile, int) else min(max(fitting, LEAST_STRIP), _MOST)
    return cropped(run_unet(layers, padded(image), rows, keep=keep), channels, height, width, rows)
