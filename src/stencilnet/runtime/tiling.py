"""Runs a picture whole where it fits in memory, and strip by strip where it does not."""

from typing import Literal

from stencilnet.pictures.images import Floats
from stencilnet.runtime.backends import Backend
from stencilnet.tiles import Layers, run_unet
from stencilnet.tiles.padding import cropped, padded

Tile = int | Literal["auto", "never"]
"""``auto`` runs a picture in strips if the whole does not fit; a number, in strips of as many rows of pixels;
``never``, whole."""

_WHOLE = 9
"""Floats per pixel and channel of the first level that the whole network has in memory at once; 7.5 were measured by
PyTorch at width 16."""

_SHARE = 0.8
"""Share of the free memory that a whole picture may take: others need memory too."""

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
    if tile != "never":
        with backend.layers(task) as layers:
            if layers is not None and (tile != "auto" or not _fits(layers, image)):
                return _in_strips(layers, image, channels, tile)
    return backend.forward(image, task, channels)


def whole_bytes(channels: int, height: int, width: int) -> int:
    """Return how many bytes of memory a picture's feature maps take at most, if it runs as a whole.

    Args:
        channels: Channels of the network's first level.
        height: The picture's rows.
        width: Its columns.
    """
    return 4 * _WHOLE * channels * height * width


def _fits(layers: Layers, image: Floats) -> bool:
    return layers.free is None or whole_bytes(layers.width, *image.shape[1:]) <= _SHARE * layers.free


def _in_strips(layers: Layers, image: Floats, channels: int, tile: Tile) -> Floats:
    _, height, width = image.shape
    fitting = _STRIP // (4 * _STRIP_FLOATS * layers.width * width)
    rows = tile if isinstance(tile, int) else min(max(fitting, LEAST_STRIP), _MOST)
    return cropped(run_unet(layers, padded(image), rows), channels, height, width, rows)
