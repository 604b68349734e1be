"""R[t][k], task k's metric after learning task t, and what the continual-learning literature reads from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan

from stencilnet.evaluation.protocol import BACKBONE, TRIVIAL
from stencilnet.evaluation.results import StageResult, TaskCard
from stencilnet.tasks.task import Metric

_PAPER_ORDER = ("scratch", "finetune", "decoder", "piggyback")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number of one task, followed through the states.

    Attributes:
        task: Name of the task.
        metric: Which of its metrics.
    """

    task: str
    metric: Metric


@dataclass(frozen=True, kw_only=True)
class Row:
    """One state.

    Attributes:
        task: The task that was learned last.
        parent: The task from whose state it started; None for the first.
        values: One value a column; None where the state does not hold the column's task.
    """

    task: str
    parent: str | None
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Retests:
    """What became of earlier tasks' numbers.

    Attributes:
        count: How many were measured again in a later state.
        changed: How many of these differ, by however little, from the value right after learning.
    """

    count: int
    changed: int


@dataclass(frozen=True, kw_only=True)
class ResultMatrix:
    """All test results of one method, in the order of learning.

    Attributes:
        method: Name of the method.
        columns: What was measured, task by task.
        rows: The states, oldest first.
    """

    method: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def value(self, after: str, column: Column) -> float | None:
        """Return R[t][k]: a column's value in the state after learning task `after`; None where not measured."""
        place = self.columns.index(column)
        return next((row.values[place] for row in self.rows if row.task == after), None)

    def learned(self, column: Column) -> float | None:
        """Return R[k][k]: the value right after the column's own task was learned."""
        return self.value(column.task, column)

    def after_next(self, column: Column, following: str) -> float | None:
        """Return the paper's "Task n after Task n+1".

        Args:
            column: A number of task n.
            following: Name of task n+1.

        Returns:
            The value, or None where that state does not hold task n.
        """
        return self.value(following, column)

    def forgetting(self, column: Column) -> float | None:
        """Return the best past value against the final one (Chaudhry et al. 2018), positive where the task forgot.

        Past are the states that the final one grew from, not those on another branch.

        Returns:
            The difference in the metric's own unit; None for the last task, or where the final state has no value.
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
        """Return the final value against the one right after learning (Lopez-Paz & Ranzato 2017).

        Returns:
            The difference in the metric's own unit, positive where later tasks helped; None for the last task, or
            where the final state has no value.
        """
        if not self.rows or self.rows[-1].task == column.task:
            return None
        own, last = self.learned(column), self.value(self.rows[-1].task, column)
        return None if own is None or last is None else gain(column.metric, own, last)

    def retests(self) -> "Retests":
        """Count how often an earlier task's number was measured again, and how often it had changed."""
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
    """Return how much better `after` is, in the metric's unit: positive is better, whatever its direction.

    Equal values give 0, infinite ones too; a change from or to infinity is infinite.
    """
    if after == before:
        return 0.0
    return after - before if metric.higher_is_better else before - after


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The stages of an experiment, looked up by method and task.

    Attributes:
        results: Any stages, in any order: an unfinished comparison is one too.

    Raises:
        ValueError: If a stage comes twice, or two stages disagree on what a task is.
    """

    results: tuple[StageResult, ...]

    def __post_init__(self) -> None:
        seen: set[tuple[str, str]] = set()
        cards: dict[str, TaskCard] = {}
        for result in self.results:
            key = (result.method, result.task)
            if key in seen:
                raise ValueError(
                    f"Expected one result a stage, but {result.method}'s task {result.task!r} comes twice."
                )
            if cards.setdefault(result.task, result.card) != result.card:
                raise ValueError(
                    f"Expected all stages to agree on task {result.task!r}, but {result.method}'s card is another. "
                    "Are these results of different experiments?"
                )
            seen.add(key)
        numbers = [card.number for card in cards.values()]
        if len(set(numbers)) != len(numbers):
            raise ValueError(f"Expected each task to have a number of its own, but got {sorted(numbers)}.")

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
        """Names of the methods: the paper's four in its order, then others as they come; the first task's if alone."""
        found = dict.fromkeys(r.method for r in self.results if r.method not in (BACKBONE, TRIVIAL)) or {BACKBONE: None}
        return tuple([name for name in _PAPER_ORDER if name in found] + [n for n in found if n not in _PAPER_ORDER])

    def find(self, method: str, task: str) -> StageResult | None:
        """Return a stage; for the first task, which all methods share, the backbone's unless the method has its own."""
        by_key = {(result.method, result.task): result for result in self.results}
        return by_key.get((method, task)) or by_key.get((BACKBONE, task))

    def stages(self, method: str) -> tuple[StageResult, ...]:
        """Return a method's stages in the order of learning, the first task's in front."""
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
