"""The paper's Tables 1-3, made only from results."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from stencilnet.evaluation.matrix import Column, Comparison, ResultMatrix
from stencilnet.evaluation.protocol import BACKBONE
from stencilnet.evaluation.render import DASH, Cell, Table, number_cells, words
from stencilnet.evaluation.results import StageResult, TaskCard
from stencilnet.evaluation.wording import wording_of
from stencilnet.methods import registered
from stencilnet.tasks.task import Metric

MIB = 2**20

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def method_title(method: str) -> str:
    """Return a method's title; if no registered method has this name (a config may give others), the name itself."""
    found = registered().get(method)
    return method if found is None else found.title


def task_title(card: TaskCard) -> str:
    """Return a task's number and title: ``Task 2 · VOC``."""
    return f"Task {card.number} · {card.title}"


def metric_title(metric: Metric) -> str:
    """Return a metric's name and the direction in which it improves: ``MSE ↓``."""
    return f"{metric.name.replace('_', ' ')} {'↑' if metric.higher_is_better else '↓'}"


class Footnotes:
    """Numbered footnotes that explain metrics, each listed once."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def mark(self, metric: Metric) -> str:
        """Return the metric's title with the number of its footnote."""
        if not metric.note:
            return metric_title(metric)
        number = self._texts.setdefault(f"{metric.name.replace('_', ' ')}: {metric.note}", len(self._texts) + 1)
        return f"{metric_title(metric)} {_superscript(number)}"

    @property
    def texts(self) -> tuple[str, ...]:
        """The footnotes, in the order of their numbers."""
        return tuple(f"{_superscript(number)} {text}" for text, number in self._texts.items())


def _superscript(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)


def table1(comparison: Comparison) -> Table:
    """Return the tasks (the paper, Table 1), with their inputs, outputs, losses and metrics."""
    footnotes = Footnotes()
    rows = [
        words(
            task_title(card),
            card.category,
            card.data,
            card.input,
            card.output,
            card.loss,
            ", ".join(footnotes.mark(metric) for metric in card.metrics),
        )
        for card in comparison.cards
    ]
    columns = ("", "category", "data", "input", "output", "loss", "metric")
    return Table(
        title="Table 1. The tasks, in the order of learning",
        columns=columns,
        rows=tuple(rows),
        words=len(columns),
        notes=footnotes.texts,
    )


def table2(comparison: Comparison) -> Table:
    """Return each task's results right after it was learned, then after the next one, then sizes (the paper, Table 2).

    The best method of a row is marked; the trivial baseline is not a method, so it is never marked.
    """
    footnotes = Footnotes()
    matrices = [comparison.matrix(method) for method in comparison.methods]
    own, beaten = _own_rows(comparison, matrices, footnotes)
    after = _after_rows(comparison, matrices, footnotes)
    sizes = _size_rows(comparison)
    notes = [
        *footnotes.texts,
        "Bold (or *): the best method of the row, if methods differ. -: not run, or not in that state.",
    ]
    if comparison.cards and all(result.method == BACKBONE for result in _firsts(comparison)):
        notes.append("Task 1 is learned once; every method starts from the resulting shared network.")
    if baselines := [
        f"{card.trivial} (Task {card.number})" for card in comparison.cards if comparison.trivial(card.name)
    ]:
        notes.append(f"Trivial baselines: {', '.join(baselines)}.")
    if beaten:
        notes.append(f"The trivial baseline is at least as good as every method at: {', '.join(beaten)}.")
    if sizes:
        notes.append(
            "MiB (2^20 bytes, the paper's MB) of weights, masks at one bit per weight. Model size: the size that keeps "
            "every task as it was learned, shared + deltas; a method that moves the shared weights needs a snapshot "
            "per task. Its single moving network with all heads, which the rows above re-test, has a separate row."
        )
    notes += dict.fromkeys(note for result in comparison.results for note in result.notes)
    return Table(
        title="Table 2. Results of continual learning",
        columns=("", "metric", *(method_title(method) for method in comparison.methods), "trivial"),
        rows=(*own, *after, *sizes),
        words=2,
        breaks=(len(own), len(own) + len(after)),
        notes=tuple(notes),
    )


def _firsts(comparison: Comparison) -> list[StageResult]:
    return [stages[0] for method in comparison.methods if (stages := comparison.stages(method))]


def _own_rows(
    comparison: Comparison, matrices: Sequence[ResultMatrix], footnotes: Footnotes
) -> tuple[list[tuple[Cell, ...]], list[str]]:
    rows, beaten = [], []
    for card in comparison.cards:
        baseline = comparison.trivial(card.name)
        for metric in card.metrics:
            column = Column(task=card.name, metric=metric)
            trivial = baseline.metrics[card.name].get(metric.name) if baseline else None
            values = [matrix.learned(column) for matrix in matrices]
            *cells, last = number_cells([*values, trivial], like=values)
            if trivial is not None and _is_beaten(values, trivial, metric):
                beaten.append(f"Task {card.number} {metric.name.replace('_', ' ')}")
            label = words(task_title(card), footnotes.mark(metric))
            rows.append((*label, *_mark_best(cells, higher_is_better=metric.higher_is_better), last))
    return rows, beaten


def _after_rows(
    comparison: Comparison, matrices: Sequence[ResultMatrix], footnotes: Footnotes
) -> list[tuple[Cell, ...]]:
    rows = []
    cards = comparison.cards
    for card, following in pairwise(cards):
        for metric in card.metrics:
            column = Column(task=card.name, metric=metric)
            cells = number_cells([matrix.after_next(column, following.name) for matrix in matrices])
            label = words(f"Task {card.number} after Task {following.number}", footnotes.mark(metric))
            rows.append((*label, *_mark_best(cells, higher_is_better=metric.higher_is_better), Cell(text=DASH)))
    return rows


def model_sizes(comparison: Comparison) -> dict[str, Cell]:
    """Return, by method, the MiB that keep every task as it was learned, with the parts of this size in the text.

    A cell has a value only if the method has learned all tasks.
    """
    tasks = len(comparison.cards)
    return {
        method: _kept_size(comparison.stages(method), moves=_moves(comparison, method), tasks=tasks)
        for method in comparison.methods
    }


def _moves(comparison: Comparison, method: str) -> bool:
    """Whether learning a task may have changed earlier ones; keeping them all then takes a snapshot per task."""
    stages = comparison.stages(method)
    return any(result.moves_shared for result in stages if result.method != BACKBONE) and not _kept(stages)


def _kept(stages: Sequence[StageResult]) -> bool:
    """Whether the digests show that every task kept, in every later state, the weights that it was learned with."""
    own = {result.task: result.digests.get(result.task) for result in stages}
    seen = [(task, digest) for result in stages for task, digest in result.digests.items()]
    return None not in own.values() and all(own[task] == digest for task, digest in seen if task in own)


def _size_rows(comparison: Comparison) -> list[tuple[Cell, ...]]:
    kept = list(model_sizes(comparison).values())
    moving = [
        _network_size(comparison.stages(method)) if _moves(comparison, method) else Cell(text=DASH)
        for method in comparison.methods
    ]
    if all(cell.text == DASH for cell in kept):
        return []
    dash = Cell(text=DASH)
    complete = [cell.value is not None for cell in kept]
    best = _mark_best(kept, higher_is_better=False) if all(complete) else kept
    rows = [(*words("Model size", "MiB ↓"), *best, dash)]
    if any(cell.value is not None for cell in moving):
        rows.append((*words("One network + all heads", "MiB ↓"), *moving, dash))
    disk = number_cells([_stored_size(comparison, method) for method in comparison.methods])
    if any(cell.value is not None for cell in disk):
        shown = _mark_best(disk, higher_is_better=False) if all(complete) else disk
        rows.append((*words("On disk, masks coded", "MiB ↓"), *shown, dash))
    cost = number_cells([_running(comparison.stages(method)) for method in comparison.methods])
    if any(cell.value is not None for cell in cost):
        rows.append((*words("Running a task, 256 px", "G multiply-adds ↓"), *cost, dash))
    return rows


def _stored_size(comparison: Comparison, method: str) -> float | None:
    """Return the MiB that keep every task as it was learned, as bundles store them, without headers of snapshots."""
    stages = comparison.stages(method)
    stored = [result.stored for result in stages]
    if not stages or None in stored or len(stages) < len(comparison.cards):
        return None
    copies = len(stages) if _moves(comparison, method) else 1
    return (copies * network_bytes(stages) + sum(filter(None, stored))) / MIB


def _running(stages: Sequence[StageResult]) -> float | None:
    """Return the multiply-adds of the most expensive task, in billions."""
    counts = [result.multiply_adds for result in stages if result.multiply_adds is not None]
    return max(counts) / 1e9 if counts else None


def _kept_size(stages: Sequence[StageResult], *, moves: bool, tasks: int) -> Cell:
    """Return the size that keeps every task as it was learned; no value if the method has not learned all tasks."""
    network, deltas = network_bytes(stages), sum(result.sizes.delta for result in stages)
    total = sum(result.sizes.snapshot for result in stages) if moves else network + deltas
    if total == 0:
        return Cell(text=DASH)
    size, *parts = (f"{count / MIB:,.{2 if total >= MIB else 4}f}" for count in (total, network, deltas))
    how = f"{len(stages)} snapshots" if moves else " + ".join(parts)
    if len(stages) < tasks:
        return Cell(text=f"{size} ({how}; {len(stages)} of {tasks} tasks)")
    return Cell(text=f"{size} ({how})", value=total / MIB)


def _network_size(stages: Sequence[StageResult]) -> Cell:
    total = network_bytes(stages) + sum(result.sizes.delta for result in stages)
    return number_cells([total / MIB if total else None])[0]


def network_bytes(stages: Sequence[StageResult]) -> int:
    """Return the bytes of the shared weights in a method's last state."""
    return stages[-1].sizes.shared if stages else 0


def table3(
    cards: Sequence[TaskCard],
    agreement: Mapping[tuple[str, str], float],
    kappa: Mapping[tuple[str, str], float],
    kind: str = "select",
    *,
    constant: bool = False,
) -> tuple[Table, Table]:
    """Return the similarity of the masks or codes of one kind (the paper, Table 3), raw and corrected for chance.

    Args:
        cards: The first task, which leaves every weight unchanged, then those with masks or codes.
        agreement: Share of weights on which two tasks agree, in [0, 1], by pair of task names, the earlier first.
        kappa: Cohen's kappa in [-1, 1], by the same pairs; it is not shown for the first task.
        kind: Kind of entries that is compared, as in `WeightCodes.kind`. Default: ``select``.
        constant: Whether the first of `cards` is only a placeholder, because no task leaves every weight unchanged.
            Default: false.

    Returns:
        The table of agreement, as in the paper, and the table of kappa.
    """
    wording = wording_of(kind)
    first = wording.constant.capitalize() if constant else f"Task {cards[0].number}"
    raw = _triangle(
        f"Table 3. Similarity of the {wording.several}: share of weights on which {wording.pair} agree",
        cards,
        agreement,
        tuple(note.format(first=first) for note in wording.notes),
        first,
    )
    beyond = _triangle(
        f"Table 3b. Similarity of the {wording.several} beyond chance: Cohen's kappa",
        cards[1:],
        kappa,
        (f"0: as similar as {wording.unrelated}; 1: equal (Cohen 1960).",),
        f"Task {cards[1].number}",
    )
    return raw, beyond


def _triangle(
    title: str, cards: Sequence[TaskCard], values: Mapping[tuple[str, str], float], notes: tuple[str, ...], first: str
) -> Table:
    rows = []
    for place, card in enumerate(cards[1:], start=1):
        found = [values[earlier.name, card.name] if n < place else None for n, earlier in enumerate(cards[:-1])]
        texts = [DASH if value is None else f"{value:.4f}".replace("-", "−") for value in found]
        rows.append((Cell(text=task_title(card)), *(Cell(text=t, value=v) for t, v in zip(texts, found, strict=True))))
    columns = ("", first, *(f"Task {card.number}" for card in cards[1:-1]))
    return Table(title=title, columns=columns[: len(cards)], rows=tuple(rows), notes=notes)


def _mark_best(cells: Sequence[Cell], *, higher_is_better: bool) -> tuple[Cell, ...]:
    """Mark the best value and all that print the same; mark none if all values print the same."""
    values = [cell.value for cell in cells if cell.value is not None and cell.value == cell.value]
    if len({cell.text for cell in cells if cell.value is not None}) < 2 or not values:
        return tuple(cells)
    top = max(values) if higher_is_better else min(values)
    best = {cell.text for cell in cells if cell.value == top}
    return tuple(Cell(text=cell.text, value=cell.value, best=cell.text in best) for cell in cells)


def _is_beaten(values: Sequence[float | None], trivial: float, metric: Metric) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(trivial >= value if metric.higher_is_better else trivial <= value for value in found)
