"""The scenes as a map-style data set of examples."""

from collections.abc import Sequence
from functools import lru_cache
from typing import overload

import numpy as np
import torch

from stencilnet.data.scenes.drawing import Scene, check_size, draw_scene
from stencilnet.data.scenes.spaces import SPACES
from stencilnet.tasks.task import Example

_SMALL = 128 * 128
"""Most pixels of a scene that is kept: 64 KiB."""

_KEPT = 2048
"""Most scenes that are kept, of all sets of a process: at most 128 MiB."""


class Scenes(Sequence[Example]):
    """Procedural scenes with label maps: small to pickle, since they are drawn when they are asked for.

    Small ones are drawn once a process, whichever set asks: the trainings of a run share their scenes.

    Splits are ranges of scene numbers that do not overlap: give each its own `first`.

    Args:
        count: Number of scenes, 1 or more.
        size: Side, or (height, width), in pixels.
        seed: Which world, 0 or more.
        first: Number of the first scene, 0 or more.
        space: Label space, a key of `SPACES`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.
    """

    def __init__(
        self, count: int, size: int | tuple[int, int], seed: int = 0, first: int = 0, space: str = "fine"
    ) -> None:
        for name, value, low in (("count", count, 1), ("seed", seed, 0), ("first", first, 0)):
            if type(value) is not int:
                raise TypeError(f"Expected argument `{name}` to be an int, but got {value!r} ({type(value).__name__}).")
            if value < low:
                raise ValueError(f"Expected argument `{name}` to be {low} or more, but got {value}.")
        if space not in SPACES:
            raise ValueError(f"Expected argument `space` to be one of {', '.join(SPACES)}, but got {space!r}.")
        self.size = check_size(size)
        self.seed = seed
        self.first = first
        self.space = SPACES[space]
        self.names = tuple(f"scene-{seed}-{index}" for index in range(first, first + count))

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "list[Example]": ...
    def __getitem__(self, index: int | slice) -> "Example | list[Example]":
        """Draw scene `index`: image (3, H, W) and label (H, W), both uint8."""
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        number = range(len(self))[index]
        draw = _drawn if self.size[0] * self.size[1] <= _SMALL else draw_scene
        scene = draw(self.seed, self.first + number, self.size)
        labels = np.array(self.space.from_fine, np.uint8)[scene.labels]
        image = np.ascontiguousarray(scene.image.transpose(2, 0, 1))
        return Example(name=self.names[number], image=torch.from_numpy(image), label=torch.from_numpy(labels))


@lru_cache(maxsize=_KEPT)
def _drawn(seed: int, index: int, size: tuple[int, int]) -> Scene:
    return draw_scene(seed, index, size)
