"""The scenes as a sequence of examples."""

from collections.abc import Sequence
from functools import lru_cache
from typing import overload

import numpy as np
import numpy.typing as npt
import torch

from stencilnet.scenes.drawing import Scene, check_size, draw_scene, measure_scene
from stencilnet.scenes.geometry import Geometry
from stencilnet.scenes.spaces import SPACES
from stencilnet.tasks.task import Example

TRUTHS = ("labels", "boundaries", "depth", "normals")
"""Kinds of ground truth."""

_SMALL = 128 * 128
"""Largest number of pixels of a cached scene: 64 KiB, and as much for depth and normals if they are used."""

_KEPT = 2048
"""Largest number of cached scenes in a process, of all sets: at most 128 MiB, and as much for depth and normals."""


class Scenes(Sequence[Example]):
    """Procedural scenes with ground truth, drawn at each access and therefore small to pickle.

    Small scenes are drawn once per process and shared by all sets, so the trainings of a run share their scenes.

    Splits are disjoint ranges of scene numbers: give each its own `first`.

    Args:
        count: Number of scenes, 1 or more.
        size: Side, or (height, width), in pixels.
        seed: Seed of the scenes, 0 or more.
        first: Number of the first scene, 0 or more.
        space: Label space, a key of `SPACES`.
        truth: Ground truth of a picture, one of `TRUTHS`. ``labels``: the label of each pixel. ``boundaries``: label 1
            on both sides of each change of label between horizontal or vertical neighbours, 0 elsewhere. ``depth`` and
            ``normals``: a target, see `Geometry`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        count: int,
        size: int | tuple[int, int],
        seed: int = 0,
        first: int = 0,
        space: str = "fine",
        truth: str = "labels",
    ) -> None:
        for name, value, low in (("count", count, 1), ("seed", seed, 0), ("first", first, 0)):
            if type(value) is not int:
                raise TypeError(f"Expected argument `{name}` to be an int, but got {value!r} ({type(value).__name__}).")
            if value < low:
                raise ValueError(f"Expected argument `{name}` to be {low} or more, but got {value}.")
        if space not in SPACES:
            raise ValueError(f"Expected argument `space` to be one of {', '.join(SPACES)}, but got {space!r}.")
        if truth not in TRUTHS:
            raise ValueError(f"Expected argument `truth` to be one of {', '.join(TRUTHS)}, but got {truth!r}.")
        self.size = check_size(size)
        self.seed = seed
        self.first = first
        self.space = SPACES[space]
        self.truth = truth
        self.names = tuple(f"scene-{seed}-{index}" for index in range(first, first + count))

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "list[Example]": ...
    def __getitem__(self, index: int | slice) -> "Example | list[Example]":
        """Return example `index`: image (3, H, W), and label (H, W) or target (3, H, W), all uint8."""
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        position = range(len(self))[index]
        name, place = self.names[position], (self.seed, self.first + position, self.size)
        small = self.size[0] * self.size[1] <= _SMALL
        scene = (_drawn if small else draw_scene)(*place)
        image = _channels_first(scene.image)
        if self.truth in ("labels", "boundaries"):
            labels = np.array(self.space.from_fine, np.uint8)[scene.labels]
            label = labels if self.truth == "labels" else _boundaries(labels)
            return Example(name=name, image=image, label=torch.from_numpy(label))
        geometry = (_measured if small else measure_scene)(*place)
        picture = geometry.normals if self.truth == "normals" else np.repeat(geometry.depth[..., None], 3, axis=2)
        return Example(name=name, image=image, target=_channels_first(picture))


def _channels_first(picture: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def _boundaries(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    marked = np.zeros_like(labels)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    for side in (marked[:, 1:], marked[:, :-1]):
        side |= across
    for side in (marked[1:], marked[:-1]):
        side |= down
    return marked


@lru_cache(maxsize=_KEPT)
def _drawn(seed: int, index: int, size: tuple[int, int]) -> Scene:
    return draw_scene(seed, index, size)


@lru_cache(maxsize=_KEPT)
def _measured(seed: int, index: int, size: tuple[int, int]) -> Geometry:
    return measure_scene(seed, index, size)
