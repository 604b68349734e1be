"""Runs a picture whole where it fits in memory, and strip by strip where it does not."""

from typing import Literal

from stencilnet.memory import available_memory
from stencilnet.pictures.images import Floats
from stencilnet.runtime.backends import Backend
from stencilnet.stopping import Stop
from stencilnet.tiles import Layers, run_unet
from stencilnet.tiles.padding import cropped, padded
from stencilnet.tiles.unet import IN_MEMORY, Keep

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
    if tile == "never":
        return backend.forward(image, task, channels, stop)
    with backend.layers(task) as layers:
        divisible = layers is not None
        if layers is not None and (tile != "auto" or not _fits(layers, image)):
            return _in_strips(_StoppableLayers(layers, stop), image, channels, tile, keep=_kept(layers, image))
    try:
        return backend.forward(image, task, channels, stop)
    except MemoryError:
        if not divisible:
            raise
    # Not in the handler, whose error refers to all arrays of the attempt.
    with backend.layers(task) as layers:
        assert layers is not None
        keep = _kept(layers, image)
        less: Keep = "half" if keep == "all" else keep  # what was thought to be free was not
        return _in_strips(_StoppableLayers(layers, stop), image, channels, tile, keep=less)


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


def _kept(layers: Layers, image: Floats) -> Keep:
    """Return which maps strips can keep in memory, which is the machine's wherever the layers run."""
    _, height, width = image.shape
    room = _SHARE * available_memory()
    return next(keep for keep, floats in IN_MEMORY.items() if 4 * floats * layers.width * height * width <= room)


def _in_strips(layers: Layers, image: Floats, channels: int, tile: Tile, *, keep: Keep) -> Floats:
    _, height, width = image.shape
    fitting = _STRIP // (4 * _STRIP_FLOATS * layers.width * width)
    rows = tile if isinstance(tile, int) else min(max(fitting, LEAST_STRIP), _MOST)
    return cropped(run_unet(layers, padded(image), rows, keep=keep), channels, height, width, rows)


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
    def free(self) -> int:
        """Bytes of memory that are free."""
        return self._layers.free

    def apply(self, layer: str, x: Floats) -> Floats:
        """Return a layer's output; see `stencilnet.tiles.Layers.apply`.

        Raises:
            StoppedError: If that was asked for.
        """
        self._stop.check()
        return self._layers.apply(layer, x)

    def weight(self, key: str) -> Floats | None:
        """Return a norm's scale or shift; None if the network has none."""
        return self._layers.weight(key)
