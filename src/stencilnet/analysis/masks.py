"""Statistics of the masks or codes of tasks (the paper, Sec. 4.2): ratio of 0, agreement, Cohen's kappa."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np
import numpy.typing as npt

from stencilnet.delta import WeightCodes

TaskCodes = Mapping[str, WeightCodes]
"""One task's codes by state-dict key, in network order; those of a binary mask are its bits."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Counts of two tasks' codes over the same weights.

    Attributes:
        first: Number of weights with each code in the first task, by code; codes that do not occur may be left out.
        second: The same for the second task.
        equal: Number of weights that have the same code in both.
    """

    first: Mapping[int, int]
    second: Mapping[int, int]
    equal: int

    def __post_init__(self) -> None:
        a, b, n = self.first, self.second, self.weights
        counts = [*a.values(), *b.values()]
        least = max((a[code] + b[code] - n for code in a.keys() & b.keys()), default=0)
        most = sum(min(a[code], b[code]) for code in a.keys() & b.keys())
        if n < 1 or min(counts) < 0 or sum(b.values()) != n or not max(0, least) <= self.equal <= most:
            raise ValueError(f"Expected the counts of two tasks' codes over at least one weight, but got {self}.")

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(self.first.values())

    @property
    def agreement(self) -> float:
        """Share of weights that have the same code in both tasks, in [0, 1].

        For binary masks this is XNOR (the paper's Table 3 calls it XOR).
        """
        return self.equal / self.weights

    @property
    def kappa(self) -> float:
        """Agreement beyond chance, in [-1, 1] (Cohen 1960): 0 for unrelated codes of these counts, 1 for equal ones.

        If both tasks have a single, common code for all weights, like two masks of all ones, the definition is 0 / 0.
        They agree by chance alone, so kappa is 0.
        """
        chance = sum(self._pairs) / self.weights**2
        return 0.0 if chance == 1 else (self.agreement - chance) / (1 - chance)

    @property
    def kappa_by_chance(self) -> float:
        """Standard deviation of kappa over unrelated codes of these counts.

        It is exact: for such codes the contingency table is multivariate hypergeometric, and ``equal`` is the sum of
        its diagonal. For binary masks it is about 1 / sqrt(weights), so small layers have a kappa other than 0 by
        chance alone.
        """
        n, pairs = self.weights, self._pairs
        squares = sum(pair * pair for pair in pairs)
        rests = sum(a * b * (n - a) * (n - b) for a, b in self._margins)
        variance = rests + sum(pairs) ** 2 - squares  # of `equal`, times n^2 (n - 1)
        if n == 1 or variance == 0:
            return 0.0
        return sqrt(variance / (n - 1)) / n * n / (n * n - sum(pairs))

    @property
    def _margins(self) -> list[tuple[int, int]]:
        return [(self.first[code], self.second[code]) for code in self.first.keys() & self.second.keys()]

    @property
    def _pairs(self) -> list[int]:
        """Number of pairs of a first and a second task's weight that both have a code, by code; exact integers."""
        return [a * b for a, b in self._margins]


def zero_ratios(codes: TaskCodes) -> dict[str, float]:
    """Return each layer's ratio of 0, in [0, 1], by key, in network order (the paper, Figs. 9-13)."""
    return {key: _zeros(layer) / layer.numel if layer.numel else 0.0 for key, layer in codes.items()}


def zero_ratio(codes: TaskCodes) -> float:
    """Return the ratio of 0 over all weights of a task, in [0, 1].

    Raises:
        ValueError: If there are no codes.
    """
    weights = sum(layer.numel for layer in codes.values())
    if weights == 0:
        raise ValueError(
            "Expected a mask or codes over at least one weight, but got none. Choose a task whose method learns them."
        )
    return 1 - sum(layer.numel - _zeros(layer) for layer in codes.values()) / weights


def by_kind(tasks: Mapping[str, TaskCodes]) -> dict[str, dict[str, TaskCodes]]:
    """Group tasks by the kind of their codes, in the given order; tasks of one kind can be compared."""
    found: dict[str, dict[str, TaskCodes]] = {}
    for task, codes in tasks.items():
        found.setdefault(_kind(codes), {})[task] = codes
    return found


def overlaps(first: TaskCodes, second: TaskCodes) -> dict[str, Overlap]:
    """Count, layer by layer, what two tasks' codes have in common.

    Raises:
        ValueError: If they cover different weights or have different kinds.
    """
    if first.keys() != second.keys():
        differing = sorted(first.keys() ^ second.keys())
        raise ValueError(
            f"Expected both tasks to have masks or codes of the same layers, but only one has them of "
            f"{', '.join(differing)}. Compare only tasks of one backbone."
        )
    return {key: _overlap(key, first[key], second[key]) for key in first}


def overlap(first: TaskCodes, second: TaskCodes) -> Overlap:
    """Count what two tasks' codes have in common over all layers.

    Raises:
        ValueError: If they cover no weights or different ones, or have different kinds.
    """
    return total(overlaps(first, second))


def total(layers: Mapping[str, Overlap]) -> Overlap:
    """Add up the layers' counts."""
    first: Counter[int] = Counter()
    second: Counter[int] = Counter()
    equal = 0
    for count in layers.values():
        first.update(count.first)
        second.update(count.second)
        equal += count.equal
    return Overlap(first=dict(first), second=dict(second), equal=equal)


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """The similarity of the masks or codes of several tasks (the paper, Table 3).

    Attributes:
        kind: Kind of entries that is compared, as in `WeightCodes.kind`.
        tasks: The name for weights left unchanged, then the tasks with masks or codes.
        agreement: Agreement in [0, 1], by pair of tasks, the earlier first. With the first of `tasks` it is the share
            of weights that the other leaves unchanged: for a mask, the share of ones.
        kappa: Cohen's kappa in [-1, 1], by the same pairs.
        layers: Counts by pair of tasks with codes, then by layer's key, in network order.
    """

    kind: str
    tasks: tuple[str, ...]
    agreement: Mapping[tuple[str, str], float]
    kappa: Mapping[tuple[str, str], float]
    layers: Mapping[tuple[str, str], Mapping[str, Overlap]]


def similarity(unchanged: str, tasks: Mapping[str, TaskCodes]) -> Similarity:
    """Compare all tasks' masks or codes with each other, and with weights that are all left unchanged.

    Args:
        unchanged: Name for unchanged weights: that of the first task if it trained the shared weights.
        tasks: The tasks' codes, in the order of learning.

    Raises:
        ValueError: If the tasks cover different weights or have different kinds, or `unchanged` is one of them.
    """
    if unchanged in tasks:
        raise ValueError(f"Expected the first task {unchanged!r} to have no mask: it trained the backbone itself.")
    kinds = by_kind(tasks)
    if len(kinds) != 1:
        got = "; ".join(f"{', '.join(group)}: {kind}" for kind, group in kinds.items())
        raise ValueError(f"Expected tasks with masks or codes of one kind, but got {got or 'no task'}.")
    layers = {(a, b): overlaps(tasks[a], tasks[b]) for a, b in combinations(tasks, 2)}
    pairs = {(unchanged, task): _with_none_changed(codes) for task, codes in tasks.items()}
    pairs |= {pair: total(counts) for pair, counts in layers.items()}
    return Similarity(
        kind=next(iter(kinds)),
        tasks=(unchanged, *tasks),
        agreement={pair: count.agreement for pair, count in pairs.items()},
        kappa={pair: count.kappa for pair, count in pairs.items()},
        layers=layers,
    )


def _kind(codes: TaskCodes) -> str:
    """Return the kind of a task's codes; several kinds in one task are joined to one name."""
    return "-".join(dict.fromkeys(layer.kind for layer in codes.values()))


def _zeros(codes: WeightCodes) -> int:
    return codes.numel - int(np.count_nonzero(codes.read()))


def _with_none_changed(codes: TaskCodes) -> Overlap:
    """Count what a task has in common with one that leaves every weight unchanged."""
    layers = {}
    for key, layer in codes.items():
        counts = _counts(layer.read())
        equal = counts.get(layer.neutral, 0)
        layers[key] = Overlap(first={layer.neutral: layer.numel}, second=counts, equal=equal)
    return total(layers)


def _overlap(key: str, first: WeightCodes, second: WeightCodes) -> Overlap:
    if (first.shape, first.kind) != (second.shape, second.kind):
        raise ValueError(
            f"Expected both tasks' codes of `{key}` to have one shape and kind, but got {tuple(first.shape)} "
            f"({first.kind}) and {tuple(second.shape)} ({second.kind})."
        )
    one, other = first.read(), second.read()
    return Overlap(first=_counts(one), second=_counts(other), equal=int(np.count_nonzero(one == other)))


def _counts(codes: npt.NDArray[np.int8]) -> dict[int, int]:
    """Return the number of int8 codes with each value, by value."""
    counts: list[int] = np.bincount(codes.view(np.uint8).reshape(-1), minlength=256).tolist()
    return {code - 256 if code > 127 else code: count for code, count in enumerate(counts) if count}
