"""R[t][k], task k's metric after learning task t, and the continual-learning measures that are derived from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan

from stencilnet.evaluation.protocol import BACKBONE, TRIVIAL
from stencilnet.evaluation.results import StageResult, TaskCard
from stencilnet.tasks.task import Metric

_PAPER_ORDER = ("scratch", "finetune", "decoder", "piggyback")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One metric of one task, followed through the states.

    Attributes:
        task: Name of the task.
        metric: One of its metrics.
    """

    task: str
    metric: Metric


@dataclass(frozen=True, kw_only=True)
class Row:
    """The results of one state.

    Attributes:
        task: The task that was learned last.
        parent: The task from whose state it was learned; None for the first.
        values: One value per column; None where the state does not hold the column's task.
    """

    task: str
    parent: str | None
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Retests:
    """How often numbers of earlier tasks changed.

    Attributes:
        count: Number of values that were measured again in a later state.
        changed: Number of these that differ at all from the value right after learning.
    """

    count: int
    changed: int


@dataclass(frozen=True, kw_only=True)
class ResultMatrix:
    """All test results of one method, in the order of learning.

    Attributes:
        method: Name of the method.
        columns: The measured metrics, task by task.
        rows: The states, oldest first.
    """

    method: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def value(self, after: str, column: Column) -> float | None:
        """Return R[t][k]: a column's value in the state after learning task `after`; None if it was not measured."""
        place = self.columns.index(column)
        return next((row.values[place] for row in self.rows if row.task == after), None)

    def learned(self, column: Column) -> float | None:
        """Return R[k][k]: the value right after the column's own task was learned."""
        return self.value(column.task, column)

    def after_next(self, column: Column, following: str) -> float | None:
        """Return the paper's "Task n after Task n+1".

        Args:
            column: A metric of task n.
            following: Name of task n+1.

        Returns:
            The value, or None if that state does not hold task n.
        """
        return self.value(following, column)

    def forgetting(self, column: Column) -> float | None:
        """Return the difference of the best past value and the final one (Chaudhry et al. 2018): positive if worse now.

        Past states are those from which the final one was learned, not those on another branch.

        Returns:
            The difference in the metric's own unit; None for the last task, or if the final state has no value.
        """
        place = self.columns.index(column)
        if not self.rows:
            return None
        *earlier, final = self.rows
        last = final.values[place]
        past = [row.values[place] for row in earlier if self._holds(final, row.task)]
        measured = [value for value in past if value is not None]
        if last is None or not measured:
            return None
        best = max(measured) if column.metric.higher_is_better else min(measured)
        return -gain(column.metric, best, last)

    def backward_transfer(self, column: Column) -> float | None:
        """Return the difference of the final value and the one right after learning (Lopez-Paz & Ranzato 2017).

        Returns:
            The difference in the metric's own unit, positive if later tasks helped; None for the last task, or if the
            final state has no value.
        """
        if not self.rows or self.rows[-1].task == column.task:
            return None
        own, last = self.learned(column), self.value(self.rows[-1].task, column)
        return None if own is None or last is None else gain(column.metric, own, last)

    def retests(self) -> "Retests":
        """Count how often a number of an earlier task was measured again, and how often it had changed."""
        count = changed = 0
        for column in self.columns:
            own = self.learned(column)
            if own is None:
                continue
            again = [self.value(row.task, column) for row in self.rows if row.task != column.task]
            measured = [value for value in again if value is not None]
            count += len(measured)
            changed += sum(value != own and not (isnan(value) and isnan(own)) for value in measured)
        return Retests(count=count, changed=changed)

    def _holds(self, row: Row, task: str) -> bool:
        return any(
            column.task == task and value is not None for column, value in zip(self.columns, row.values, strict=True)
        )


def gain(metric: Metric, before: float, after: float) -> float:
    """Return how much better `after` is, in the metric's unit: positive is better, for metrics of either direction.

    Equal values give 0, even infinite ones; a change from or to infinity is infinite.
    """
    if after == before:
        return 0.0
    return after - before if metric.higher_is_better else before - after


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The stages of an experiment, by method and task.

    Attributes:
        results: Any stages, in any order; a comparison may be unfinished.

    Raises:
        ValueError: If a stage occurs twice, or two stages disagree on a task's card.
    """

    results: tuple[StageResult, ...]

    def __post_init__(self) -> None:
        seen: set[tuple[str, str]] = set()
        cards: dict[str, TaskCard] = {}
        for result in self.results:
            key = (result.method, result.task)
            if key in seen:
                raise ValueError(
                    f"Expected one result per stage, but {result.method}'s task {result.task!r} occurs twice."
                )
            if cards.setdefault(result.task, result.card) != result.card:
                raise ValueError(
                    f"Expected all stages to agree on task {result.task!r}, but {result.method}'s card differs. "
                    "Compare only results of one experiment."
                )
            seen.add(key)
        numbers = [card.number for card in cards.values()]
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"Expected each task to have its own number, but got {sorted(numbers)}.")

    @classmethod
    def of(cls, results: Iterable[StageResult]) -> "Comparison":
        """Return the comparison of some stages."""
        return cls(results=tuple(results))

    @property
    def cards(self) -> tuple[TaskCard, ...]:
        """The tasks, in the order of learning."""
        return tuple(sorted({result.card for result in self.results}, key=lambda card: card.number))

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods: the paper's four in its order, then others as found; if there are none, `BACKBONE`."""
        found = dict.fromkeys(r.method for r in self.results if r.method not in (BACKBONE, TRIVIAL)) or {BACKBONE: None}
        return tuple([name for name in _PAPER_ORDER if name in found] + [n for n in found if n not in _PAPER_ORDER])

    def find(self, method: str, task: str) -> StageResult | None:
        """Return a stage; for the first task, which methods share, the backbone's unless the method has its own."""
        by_key = {(result.method, result.task): result for result in self.results}
        return by_key.get((method, task)) or by_key.get((BACKBONE, task))

    def stages(self, method: str) -> tuple[StageResult, ...]:
        """Return a method's stages in the order of learning, including the first task's."""
        found = (self.find(method, card.name) for card in self.cards)
        return tuple(result for result in found if result is not None)

    def trivial(self, task: str) -> StageResult | None:
        """Return the trivial baseline's result on a task, if it was measured."""
        return next((r for r in self.results if r.method == TRIVIAL and r.task == task), None)

    def matrix(self, method: str) -> ResultMatrix:
        """Return all test results of a method."""
        columns = tuple(Column(task=card.name, metric=metric) for card in self.cards for metric in card.metrics)
        rows = tuple(
            Row(
                task=result.task,
                parent=result.parent,
                values=tuple(result.metrics.get(c.task, {}).get(c.metric.name) for c in columns),
            )
            for result in self.stages(method)
        )
        return ResultMatrix(method=method, columns=columns, rows=rows)
