"""Runs a picture whole where it fits in memory, and strip by strip where it does not."""

from typing import Literal

from stencilnet.pictures.images import Floats
from stencilnet.runtime.backends import Backend
from stencilnet.stopping import Stop
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


def check_tile(tile: object) -> None:
    """Check a value of `Tile`.

    Raises:
        ValueError: If it is none.
    """
    if tile not in ("auto", "never") and not (type(tile) is int and tile >= LEAST_STRIP):
        raise ValueError(
            f"Expected `tile` to be auto, never or a number of rows of at least {LEAST_STRIP}, but got {tile!r}."
        )


def forward(
    backend: Backend, image: Floats, task: str, channels: int, tile: Tile = "auto", stop: Stop | None = None
) -> Floats:
    """Return a task's raw output for one input.

    Args:
        backend: Runs the task.
        image: ``(3, H, W)`` float32 in [0, 1].
        task: The task's name.
        channels: Output channels of its head.
        tile: Whether the picture runs in strips. Networks other than U-Nets of one column always run whole.
        stop: A request to end early, followed between strips and by the backend; None by default.

    Raises:
        BundleError, MemoryError, StoppedError, TooLargeError: As for `stencilnet.runtime.backends.Backend.forward`.
    """
    stop = stop or Stop()
    if tile != "never":
        with backend.layers(task) as layers:
            if layers is not None and (tile != "auto" or not _fits(layers, image)):
                return _in_strips(_StoppableLayers(layers, stop), image, channels, tile)
    return backend.forward(image, task, channels, stop)


def _fits(layers: Layers, image: Floats) -> bool:
    _, height, width = image.shape
    return layers.free is None or 4 * _WHOLE * layers.width * height * width <= _SHARE * layers.free


def _in_strips(layers: Layers, image: Floats, channels: int, tile: Tile) -> Floats:
    _, height, width = image.shape
    fitting = _STRIP // (4 * _STRIP_FLOATS * layers.width * width)
    rows = tile if isinstance(tile, int) else min(max(fitting, LEAST_STRIP), _MOST)
    return cropped(run_unet(layers, padded(image), rows), channels, height, width, rows)


class _StoppableLayers:
    """Layers that stop between two strips; `stencilnet.tiles.Layers`.

    Args:
        layers: The layers.
        stop: The request to follow.
    """

    def __init__(self, layers: Layers, stop: Stop) -> None:
        self._layers = layers
        self._stop = stop

    @property
    def width(self) -> int:
        """Channels of the first level."""
        return self._layers.width

    @property
    def free(self) -> int | None:
        """Bytes of memory that are free; None if unknown."""
        return self._layers.free

    def apply(self, layer: str, x: Floats) -> Floats:
        """Return a layer's output without any padding.

        Raises:
            StoppedError: If that was asked for.
        """
        self._stop.check()
        return self._layers.apply(layer, x)

    def weight(self, key: str) -> Floats | None:
        """Return a norm's scale or shift; None if the network has none."""
        return self._layers.weight(key)
