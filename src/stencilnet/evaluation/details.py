"""The tables that the paper leaves out: every task in every state, all sizes, every training."""

from collections.abc import Sequence

from stencilnet.evaluation.matrix import Comparison
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.evaluation.render import DASH, Cell, Table, number_cells, number_texts, words
from stencilnet.evaluation.results import StageResult
from stencilnet.evaluation.tables import MIB, Footnotes, method_title, metric_title, network_bytes, task_title


def forgetting_table(comparison: Comparison, method: str) -> Table:
    """Return the full matrix R[t][k] of one method: one row per state, one column per number, then the changes.

    Args:
        comparison: The results.
        method: Name of the method.
    """
    matrix = comparison.matrix(method)
    cards = {card.name: card for card in comparison.cards}
    footnotes = Footnotes()
    heads = tuple(f"Task {cards[c.task].number} {footnotes.mark(c.metric)}" for c in matrix.columns)
    values = [
        [*(row.values[place] for row in matrix.rows), matrix.forgetting(column), matrix.backward_transfer(column)]
        for place, column in enumerate(matrix.columns)
    ]
    columns = [_signed_tail(number_cells(column)) for column in values]
    labels = [
        words(task_title(cards[row.task]), f"Task {cards[row.parent].number}" if row.parent else "fresh weights")
        for row in matrix.rows
    ]
    labels += [words("forgetting", ""), words("backward transfer", "")]
    return Table(
        title=f"{method_title(method)}: every task in every state",
        columns=("after learning", "starts from", *heads),
        rows=tuple((*label, *cells) for label, cells in zip(labels, zip(*columns, strict=True), strict=True)),
        words=2,
        notes=(
            *footnotes.texts,
            "forgetting: the best earlier value against the last one; positive: the task got worse "
            "(Chaudhry et al. 2018).",
            "backward transfer: the value right after learning against the last one; positive: later tasks helped "
            "(Lopez-Paz & Ranzato 2017).",
            "-: that state does not hold the task.",
        ),
    )


def _signed_tail(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Put a plus before positive values in the last two cells, which are differences."""
    *states, forgetting, transfer = cells
    signed = [
        Cell(text=f"+{cell.text}" if cell.value is not None and cell.value > 0 else cell.text, value=cell.value)
        for cell in (forgetting, transfer)
    ]
    return (*states, *signed)


def size_table(comparison: Comparison) -> Table:
    """Return the sizes of all weights by method and task in MiB, with masks at one bit per weight."""
    cards = comparison.cards
    rows = []
    for method in comparison.methods:
        stages = {result.task: result for result in comparison.stages(method)}
        deltas = [stages[card.name].sizes.delta / MIB if card.name in stages else None for card in cards]
        shared = network_bytes(tuple(stages.values())) / MIB
        snapshots = sum(result.sizes.snapshot for result in stages.values()) / MIB
        total = shared + sum(delta for delta in deltas if delta is not None)
        rows.append((Cell(text=method_title(method)), *map(_mib, (shared, *deltas, total, snapshots))))
    heads = tuple(f"Task {card.number}" for card in cards)
    return Table(
        title="Sizes in MiB, masks at one bit per weight",
        columns=("", "shared", *heads, "shared + deltas", "a snapshot a task"),
        rows=tuple(rows),
        notes=(
            "shared: the weights every task uses, in the method's last state. Task n: what the task adds (its delta). "
            "1 MiB is 2^20 bytes; file headers are not counted.",
        ),
    )


def _mib(value: float | None) -> Cell:
    return Cell(text=DASH if value is None else f"{value:,.3f}", value=value)


def training_table(comparison: Comparison) -> Table:
    """Return a row per training: the step that validation selected, its validation score, and the training time."""
    order = (BACKBONE, *(method for method in comparison.methods if method != BACKBONE))
    cards = {card.name: card for card in comparison.cards}
    trained = [
        r for m in order for card in cards.values() for r in comparison.results if (r.method, r.task) == (m, card.name)
    ]
    rows = []
    for result in trained:
        zeros = number_texts([None if result.zero_ratio is None else 100 * result.zero_ratio])[0]
        rows.append(
            (
                *words(method_title(result.method), task_title(result.card)),
                _whole(result.selected_step),
                _validation(result),
                Cell(text=zeros, value=result.zero_ratio),
                Cell(text=duration(result.seconds), value=result.seconds),
            )
        )
    return Table(
        title="Trainings",
        columns=("method", "task", "selected step", "validation", "zeros in mask or codes (%)", "time"),
        rows=tuple(rows),
        words=2,
        notes=("The step is selected on validation examples, never on test examples.",),
    )


def duration(seconds: float) -> str:
    """Format a duration: ``42 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 4 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _whole(value: int | None) -> Cell:
    return Cell(text=DASH if value is None else f"{value:,}", value=value)


def _validation(result: StageResult) -> Cell:
    if result.validation is None:
        return Cell(text=DASH)
    text = f"{number_texts([result.validation])[0]} {metric_title(result.card.metrics[0])}"
    return Cell(text=text, value=result.validation)
