"""Runs a network with a task's full weights: one column, or the columns of a progressive net (Rusu et al. 2016)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from stencilnet.delta import lateral_of, split_columns
from stencilnet.models.checking import checked_output

Tap = Callable[[str, Tensor, Tensor], Tensor]
"""Called by a backbone at each of its levels with the layer's name, input and output; the backbone continues with the
tensor that it returns."""

ColumnFunction = Callable[[Tensor, Tap], Tensor]
Adapters = Mapping[int, Mapping[str, Tensor]]
"""1x1 convolutions into a column, by the place of the earlier column that they read, and by level."""


def run(backbone: nn.Module, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return raw outputs ``(N, C, H, W)`` of images ``(N, 3, H, W)`` in [0, 1].

    Args:
        backbone: The network of every column. Columns with adapters need one that has levels, such as the U-Net.
        weights: A task's full weights (`NetState.weights`).
        images: The images.

    Raises:
        TypeError: If the network returns anything but one tensor.
    """
    columns = split_columns(weights)
    if len(columns) == 1:
        return checked_output(backbone, functional_call(backbone, dict(weights), (images,)))
    places = {task: place for place, task in enumerate(columns)}
    runs: list[ColumnFunction] = []
    adapters: list[Adapters] = []
    for own in columns.values():
        plain, laterals = split_laterals(own, places)
        runs.append(partial(_call, backbone, plain))
        adapters.append(laterals)
    return through(runs, adapters, images)


def _call(backbone: nn.Module, weights: dict[str, Tensor], images: Tensor, tap: Tap) -> Tensor:
    output: Tensor = functional_call(backbone, weights, (images, tap))
    return output


def split_laterals(
    weights: Mapping[str, Tensor], places: Mapping[str, int]
) -> tuple[dict[str, Tensor], dict[int, dict[str, Tensor]]]:
    """Return a column's own weights and its adapters; `places` holds the places of earlier columns by task."""
    plain: dict[str, Tensor] = {}
    laterals: dict[int, dict[str, Tensor]] = {}
    for key, tensor in weights.items():
        found = lateral_of(key)
        if found is None:
            plain[key] = tensor
        else:
            laterals.setdefault(places[found[0]], {})[found[1].removesuffix(".weight")] = tensor
    return plain, laterals


def through(columns: Sequence[ColumnFunction], adapters: Sequence[Adapters], images: Tensor) -> Tensor:
    """Run columns one after another and return the last one's output.

    An adapter maps the input of a column's level into the same level of a later column, where it is added to the
    layer's output, before its norm.
    """
    given: list[dict[str, Tensor]] = []
    for column, laterals in zip(columns, adapters, strict=True):
        taken: dict[str, Tensor] = {}
        output = column(images, partial(_join, laterals, tuple(given), taken))
        given.append(taken)
    return output


def _join(
    laterals: Adapters,
    given: Sequence[Mapping[str, Tensor]],
    taken: dict[str, Tensor],
    level: str,
    x: Tensor,
    out: Tensor,
) -> Tensor:
    taken[level] = x
    for place, weights in laterals.items():
        if level in weights:
            out = out + F.conv2d(given[place][level], weights[level])
    return out


class Columns(nn.Module):
    """Columns as one plain module that returns the last one's output. Several threads may run it at once.

    Args:
        columns: Modules of one class, with levels, in the order of running.
        adapters: The adapters into each of them.
    """

    def __init__(self, columns: Sequence[nn.Module], adapters: Sequence[Adapters]) -> None:
        super().__init__()
        self.columns = nn.ModuleList(columns)
        rows = [(to, place, level) for to, own in enumerate(adapters) for place, row in own.items() for level in row]
        self._rows = tuple(rows)
        self._adapters = nn.ParameterList(
            nn.Parameter(adapters[to][place][level], requires_grad=False) for to, place, level in rows
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return raw outputs ``(N, C, H, W)`` of images ``(N, 3, H, W)`` in [0, 1]."""
        adapters: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.columns]
        for (to, place, level), tensor in zip(self._rows, self._adapters, strict=True):
            adapters[to].setdefault(place, {})[level] = tensor
        return through(list(self.columns), adapters, x)
