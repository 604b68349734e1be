"""The paper's U-Net, layer by layer over strips of the picture.

Instance norm takes its statistics over the whole picture, so strips cannot be run one after the other through the whole
network. Each layer is run over all strips before the next. Maps at half resolution and below are kept, in memory or in
temporary files. One more array keeps those at full resolution; without it, which takes half the memory and nearly twice
the time, they are computed anew from the picture by each layer that needs them.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from stencilnet.pictures.images import Floats
from stencilnet.tiles.features import Features, Moments, convolved, each_channel, joined, mapped, pooled, stored
from stencilnet.tiles.files import array_in_file

_ENCODER, _DECODER = "2345", "6789"
"""Levels after the first, by the digit in the names of their layers."""

Keep = Literal["all", "half", "files"]
"""Which maps are kept: ``all``, in memory; those at ``half`` resolution and below, in memory; or those in ``files``."""

IN_MEMORY: dict[Keep, float] = {"all": 1.94, "half": 0.94, "files": 0.0}
"""Floats per pixel and channel of the first level that are kept in memory; the fastest first."""


class Layers(Protocol):
    """The layers of one task's U-Net, by the names in their state-dict keys (``conv1_1``, ``up6``, ``head``)."""

    @property
    def width(self) -> int:
        """Channels of the first level."""
        ...

    @property
    def free(self) -> int:
        """Bytes of memory that are free where the layers run."""
        ...

    def apply(self, layer: str, x: Floats) -> Floats:
        """Return a layer's output, padded by zeros on the left and right only.

        Args:
            layer: The layer's name.
            x: ``(C, h, w)`` float32.

        Returns:
            ``(O, h - 2, w)`` of a 3x3 convolution, ``(O, 2h, 2w)`` of a transposed one, ``(O, h, w)`` of the head.
        """
        ...

    def weight(self, key: str) -> Floats | None:
        """Return a norm's scale or shift by its state-dict key; None if the network has none."""
        ...


def run_unet(layers: Layers, picture: Features, rows: int, *, keep: Keep) -> Features:
    """Run a U-Net.

    Args:
        layers: Its layers.
        picture: Three channels; sides are multiples of 16, of at least 32.
        rows: Rows of a strip at the picture's resolution.
        keep: Which maps to keep, and where.

    Returns:
        The raw output. All statistics are known then; its rows are computed when they are asked for.

    Raises:
        TooLargeError: If there is no room for the files.
    """
    return _Walk(layers, rows, keep).output(picture)


_Run = Callable[..., tuple[Floats | None, Features]]
"""Runs a layer, given its number, its input and perhaps an array to overwrite; returns the array, if it keeps one."""


class _Walk:
    def __init__(self, layers: Layers, rows: int, keep: Keep) -> None:
        self._layers = layers
        self._rows = rows
        self._at_full: _Run = self._kept if keep == "all" else self._computed
        self._array: Callable[[tuple[int, ...]], Floats] = array_in_file if keep == "files" else _array

    def output(self, picture: Features) -> Features:
        _, x = self._computed("1_1", picture)
        kept: list[tuple[Floats | None, Features]] = [self._at_full("1_2", x)]
        array: Floats | None
        for level in _ENCODER:
            array, x = self._kept(f"{level}_1", pooled(kept[-1][1]))
            kept.append(self._kept(f"{level}_2", x, array))
        _, x = kept.pop()
        for level in _DECODER:
            run = self._at_full if level == _DECODER[-1] else self._kept
            array, skip = kept.pop()
            array, x = run(f"{level}_1", joined(skip, x, self._layer(f"up{level}")), array)
            _, x = run(f"{level}_2", x, array)
        return mapped(x, self._layer("head"))

    def _computed(self, name: str, x: Features, _into: Floats | None = None) -> tuple[None, Features]:
        """Run a convolution, its norm and ReLU; the result is computed anew whenever rows of it are asked for."""
        raw = convolved(x, self._layer(f"conv{name}"))
        moments = Moments()
        for _, _, strip in raw.strips(self._rows):
            moments.add(strip)
        return None, mapped(raw, self._activation(name, moments))

    def _kept(self, name: str, x: Features, into: Floats | None = None) -> tuple[Floats, Features]:
        """Run a convolution, its norm and ReLU, and keep what the convolution gives.

        Args:
            name: The layer's number.
            x: Its input.
            into: An array to overwrite, of at least as many channels; it may be the one that `x` is read from.

        Returns:
            The array, and the features.
        """
        raw = convolved(x, self._layer(f"conv{name}"))
        moments = Moments()
        waiting: list[tuple[int, int, Floats]] = []
        for top, bottom, strip in raw.strips(self._rows):
            moments.add(strip)
            into = self._array((len(strip), raw.height, raw.width)) if into is None else into[: len(strip)]
            _write(waiting, into)  # only now: the strip after a written one needs the row above it, as it was
            waiting = [(top, bottom, strip)]
        assert into is not None  # there is no picture without rows
        _write(waiting, into)
        return into, mapped(stored(into), self._activation(name, moments))

    def _layer(self, name: str) -> Callable[[Floats], Floats]:
        return lambda x: self._layers.apply(name, x)

    def _activation(self, name: str, moments: Moments) -> Callable[[Floats], Floats]:
        scale, shift = (self._layers.weight(f"norm{name}.{part}") for part in ("weight", "bias"))
        return moments.activate(scale, shift)


def _array(shape: tuple[int, ...]) -> Floats:
    return np.empty(shape, np.float32)


def _write(strips: list[tuple[int, int, Floats]], into: Floats) -> None:
    for top, bottom, strip in strips:
        for _ in each_channel(np.copyto, into[:, top:bottom], strip):
            pass
