"""What binary masks have in common (the paper, Sec. 4.2): ratio of 0, agreement, Cohen's kappa."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import torch
from torch import Tensor

from stencilnet.masks import BitMask

TaskMasks = Mapping[str, BitMask]
"""One task's masks by state-dict key, in network order."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """The 2x2 table of two masks over the same weights.

    Attributes:
        weights: Number of weights.
        first: How many the first mask keeps.
        second: How many the second mask keeps.
        both: How many both keep.
    """

    weights: int
    first: int
    second: int
    both: int

    def __post_init__(self) -> None:
        least, most = max(0, self.first + self.second - self.weights), min(self.first, self.second)
        if self.weights < 1 or not least <= self.both <= most:
            raise ValueError(f"Expected the counts of two masks over at least one weight, but got {self}.")

    @property
    def agreement(self) -> float:
        """Share of weights on which both masks say the same, in [0, 1]: XNOR (the paper's Table 3 calls it XOR)."""
        return (self.weights - self.first - self.second + 2 * self.both) / self.weights

    @property
    def kappa(self) -> float:
        """Agreement beyond chance, in [-1, 1] (Cohen 1960): 0 for unrelated masks of these densities, 1 for equal ones.

        A constant mask (all ones, or all zeros) agrees by chance alone, so it has 0 with every mask: also with itself,
        where the definition is 0 / 0.
        """
        zeros = (self.weights - self.first) * (self.weights - self.second)
        chance = (self.first * self.second + zeros) / self.weights**2
        return 0.0 if chance == 1 else (self.agreement - chance) / (1 - chance)

    @property
    def kappa_by_chance(self) -> float:
        """Standard deviation of kappa over unrelated masks of these densities (exact: `both` is hypergeometric then).

        About 1 / sqrt(weights): small layers show a kappa of some size by chance alone.
        """
        n, a, b = self.weights, self.first, self.second
        if n == 1 or a * b * (n - a) * (n - b) == 0:
            return 0.0
        spread = sqrt(a * b * (n - a) * (n - b) / (n - 1)) / n
        return 2 * spread * n / (n * n - a * b - (n - a) * (n - b))


def zero_ratios(masks: TaskMasks) -> dict[str, float]:
    """Return the ratio of 0 of each layer, in [0, 1], by key, in network order (the paper, Figs. 9-13)."""
    return {key: mask.zero_ratio for key, mask in masks.items()}


def zero_ratio(masks: TaskMasks) -> float:
    """Return the ratio of 0 over all weights of a task, in [0, 1].

    Raises:
        ValueError: If there is no mask.
    """
    weights = sum(mask.numel for mask in masks.values())
    if weights == 0:
        raise ValueError("Expected masks over at least one weight, but got none. Was the task learned by Piggyback?")
    return 1 - sum(mask.ones for mask in masks.values()) / weights


def overlaps(first: TaskMasks, second: TaskMasks) -> dict[str, Overlap]:
    """Count, layer by layer, what two tasks' masks have in common.

    Raises:
        ValueError: If they are not over the same weights.
    """
    if first.keys() != second.keys():
        differing = sorted(first.keys() ^ second.keys())
        raise ValueError(
            f"Expected both tasks to mask the same layers, but only one masks {', '.join(differing)}. "
            "Are they of different backbones?"
        )
    return {key: _overlap(key, _bits(first[key]), _bits(second[key])) for key in first}


def overlap(first: TaskMasks, second: TaskMasks) -> Overlap:
    """Count what two tasks' masks have in common over all layers.

    Raises:
        ValueError: If they are not over the same weights, or over none.
    """
    return total(overlaps(first, second))


def total(layers: Mapping[str, Overlap]) -> Overlap:
    """Add up the layers' counts."""
    counts = layers.values()
    return Overlap(
        weights=sum(count.weights for count in counts),
        first=sum(count.first for count in counts),
        second=sum(count.second for count in counts),
        both=sum(count.both for count in counts),
    )


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How alike the masks of several tasks are (the paper, Table 3).

    Attributes:
        tasks: The task whose weights are all kept, then the masked ones.
        agreement: By pair of tasks, the earlier first, in [0, 1]; the first task's is the share of ones.
        kappa: By the same pairs, in [-1, 1].
        layers: By pair of masked tasks, what they have in common in each layer, by key, in network order.
    """

    tasks: tuple[str, ...]
    agreement: Mapping[tuple[str, str], float]
    kappa: Mapping[tuple[str, str], float]
    layers: Mapping[tuple[str, str], Mapping[str, Overlap]]


def similarity(backbone: str, masks: Mapping[str, TaskMasks]) -> Similarity:
    """Compare all tasks' masks with each other, and with the all-ones mask of the first task.

    Args:
        backbone: Name of the first task, which keeps every weight.
        masks: The other tasks' masks, in the order of learning.

    Raises:
        ValueError: If they are not over the same weights, or `backbone` is one of them.
    """
    if backbone in masks:
        raise ValueError(f"Expected the first task {backbone!r} to have no mask: it trained the backbone itself.")
    layers = {(a, b): overlaps(masks[a], masks[b]) for a, b in combinations(masks, 2)}
    pairs = {(backbone, task): _with_all_ones(own) for task, own in masks.items()}
    pairs |= {pair: total(counts) for pair, counts in layers.items()}
    return Similarity(
        tasks=(backbone, *masks),
        agreement={pair: count.agreement for pair, count in pairs.items()},
        kappa={pair: count.kappa for pair, count in pairs.items()},
        layers=layers,
    )


def _with_all_ones(masks: TaskMasks) -> Overlap:
    weights, ones = sum(mask.numel for mask in masks.values()), sum(mask.ones for mask in masks.values())
    return Overlap(weights=weights, first=weights, second=ones, both=ones)


def _overlap(key: str, first: Tensor, second: Tensor) -> Overlap:
    if first.shape != second.shape:
        raise ValueError(
            f"Expected both masks of `{key}` to have one shape, but got {tuple(first.shape)} and {tuple(second.shape)}."
        )
    return Overlap(
        weights=first.numel(), first=int(first.sum()), second=int(second.sum()), both=int((first & second).sum())
    )


def _bits(mask: BitMask) -> Tensor:
    return mask.unpack().to(torch.device("cpu"))
