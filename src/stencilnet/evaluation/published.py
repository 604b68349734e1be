"""The paper's own Table 2, compared with ours."""

from collections.abc import Mapping
from dataclasses import dataclass

from stencilnet.evaluation.matrix import Column, Comparison
from stencilnet.evaluation.render import DASH, Cell, Table, number_cells, words
from stencilnet.evaluation.results import TaskCard
from stencilnet.evaluation.tables import method_title, metric_title, model_sizes, task_title

METHODS = ("scratch", "finetune", "decoder", "piggyback")
"""The paper's methods, in its order."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row of the paper's Table 2.

    Attributes:
        task: Number of the task that was tested.
        after: Number of the task that had been learned last.
        metric: Name of our metric that is closest to the paper's.
        values: Values by method.
    """

    task: int
    after: int
    metric: str
    values: Mapping[str, float]


def _row(task: int, after: int, metric: str, *values: float) -> Published:
    return Published(
        task=task, after=after, metric=metric, values=dict(zip(METHODS[-len(values) :], values, strict=True))
    )


TABLE2 = (
    _row(1, 1, "mIoU", 21.47, 21.47, 21.47, 21.47),
    _row(2, 2, "mIoU", 58.59, 64.87, 61.63, 61.45),
    _row(3, 3, "MSE", 244.000, 237.92, 241.66, 242.49),
    _row(3, 3, "SSIM", 0.9138, 0.9148, 0.9121, 0.9058),
    _row(4, 4, "SSIM", 0.3678, 0.3555, 0.3595, 0.3501),
    _row(4, 4, "total_loss", 413_833, 405_893, 473_723, 528_587),
    _row(5, 5, "total_loss", 447_480, 490_490, 544_348, 521_476),
    _row(6, 6, "MSE", 211.96, 207.76, 237.53, 232.02),
    _row(1, 2, "mIoU", 0.70, 21.47, 21.47),
    _row(2, 3, "mIoU", 1.87, 61.63, 61.45),
    _row(3, 4, "MSE", 870.18, 241.66, 242.49),
    _row(3, 4, "SSIM", 0.5321, 0.9121, 0.9058),
)
"""The paper's Table 2. Its single value of Task 1 is repeated for every method: all start from the same network."""

SIZES = {"scratch": 338.4, "finetune": 338.4, "decoder": 158.9, "piggyback": 65.4}
"""The paper's model sizes in MiB (which it calls MB)."""


def table2_beside_ours(comparison: Comparison) -> Table:
    """Return the paper's Table 2 with our value below each of its own; `-` where nothing was run.

    Args:
        comparison: Results of the paper's protocol; tasks are matched by their numbers.
    """
    cards = {card.number: card for card in comparison.cards}
    rows = []
    for published in TABLE2:
        label = _label(published, cards.get(published.task))
        ours = _ours(comparison, published, cards)
        rows.append(
            (*words(*label, "paper"), *number_cells([published.values.get(method) for method in METHODS])),
        )
        rows.append((*words("", "", "ours"), *number_cells(ours)))
    rows.append((*words("Model size", "MiB ↓", "paper"), *number_cells([SIZES[method] for method in METHODS])))
    kept = model_sizes(comparison)
    rows.append((*words("", "", "ours"), *(kept.get(method, Cell(text=DASH)) for method in METHODS)))
    own = sum(published.task == published.after for published in TABLE2)
    return Table(
        title="The paper's Table 2, and this run's beside it",
        columns=("", "metric", "", *(method_title(method) for method in METHODS)),
        rows=tuple(rows),
        words=3,
        breaks=(2 * own, 2 * len(TABLE2)),
        notes=(
            "Paper: Matsumoto and Yanai, Table 2. -: not run (ours), or not given (paper).",
            *_sources(comparison),
            *dict.fromkeys(note for result in comparison.results for note in result.notes),
        ),
    )


def _label(published: Published, card: TaskCard | None) -> tuple[str, str]:
    again = published.after != published.task
    title = f"Task {published.task}" if card is None or again else task_title(card)
    metrics = {} if card is None else {metric.name: metric_title(metric) for metric in card.metrics}
    shown = metrics.get(published.metric, published.metric.replace("_", " "))
    return (f"{title} after Task {published.after}" if again else title), shown


def _ours(comparison: Comparison, published: Published, cards: Mapping[int, TaskCard]) -> list[float | None]:
    if published.task not in cards or published.after not in cards:
        return [None] * len(METHODS)
    card, after = cards[published.task], cards[published.after].name
    metric = next((metric for metric in card.metrics if metric.name == published.metric), None)
    if metric is None:
        return [None] * len(METHODS)
    column = Column(task=card.name, metric=metric)
    return [
        comparison.matrix(method).value(after, column) if method in comparison.methods else None for method in METHODS
    ]


def _sources(comparison: Comparison) -> list[str]:
    """Return a line per task with the origin of its numbers: data, hardware, commit, seed and day."""
    lines = []
    for card in comparison.cards:
        found = [comparison.find(method, card.name) for method in comparison.methods]
        origins = dict.fromkeys(
            f"{r.hardware}, commit {r.commit or 'unknown'}, seed {r.seed}, {r.date[:10]}" for r in found if r
        )
        lines.append(f"Task {card.number}, ours: {card.data}; {'; '.join(origins) or 'not run'}.")
    return lines
