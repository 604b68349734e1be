"""What one training leaves behind: plain data, one ``result.json`` a stage. All tables are made from these alone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stencilnet.evaluation.fields import Fields, ResultError
from stencilnet.storage import write_text
from stencilnet.tasks.task import Metric
from stencilnet.text.shortening import brief
from stencilnet.text.strict_json import dumps

__all__ = ["ResultError", "Sizes", "StageResult", "TaskCard", "read_result", "write_result"]

FORMAT = "stencilnet-result"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """A task in words: one row of the paper's Table 1, and what its numbers mean.

    Attributes:
        number: Its place in the experiment, from 1: tables call it "Task 1".
        name: Its name in bundles and configs.
        title: Its name in tables and pictures.
        category: Semantic segmentation, style transfer, ...
        data: What it was learned from.
        input: What the network is given.
        output: What the network returns.
        loss: What training minimises.
        metrics: What is measured, the headline first.
        trivial: Name of its trivial baseline.
    """

    number: int
    name: str
    title: str
    category: str
    data: str
    input: str
    output: str
    loss: str
    metrics: tuple[Metric, ...]
    trivial: str


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Bytes of tensors, masks at one bit a weight, file headers aside; a bundle may store masks in less.

    Attributes:
        delta: What the task alone adds.
        shared: The weights that all tasks share, in this stage's state.
        snapshot: A whole network for this one task.
    """

    delta: int = 0
    shared: int = 0
    snapshot: int = 0


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """One finished stage.

    Attributes:
        method: Name of the method; ``backbone`` for the first task, ``trivial`` for a trivial baseline.
        task: Name of the task that was learned.
        card: The task in words.
        parent: The task from whose state it started; None for the first.
        moves_shared: Whether the method may change the shared weights, and so earlier tasks.
        metrics: On test examples, by task and metric: every task that was tested in this state, `task` among them.
        digests: By tested task, the SHA-256 of its effective weights: equal bytes, equal outputs.
        validation: The headline metric on validation examples at the selected step.
        selected_step: The step that validation selected.
        seconds: Training time.
        sizes: Bytes of what was learned.
        stored: Bytes of the task's delta as a bundle stores it, masks coded; None in results of before it was noted.
        multiply_adds: What running the task on one picture of 256 x 256 px takes; None as for `stored`.
        zero_ratio: Share of zeros in the task's mask or codes, in [0, 1]; None without either.
        seed: Of weights, data order and crops.
        commit: Of the code.
        hardware: In words.
        versions: Of Python and libraries.
        date: When it ended, ISO 8601.
        notes: What a reader of the numbers has to know, such as the perceptual network's name.
    """

    method: str
    task: str
    card: TaskCard
    parent: str | None = None
    moves_shared: bool
    metrics: Mapping[str, Mapping[str, float]]
    digests: Mapping[str, str] = field(default_factory=dict)
    validation: float | None = None
    selected_step: int | None = None
    seconds: float = 0.0
    sizes: Sizes = field(default_factory=Sizes)
    stored: int | None = None
    multiply_adds: int | None = None
    zero_ratio: float | None = None
    seed: int = 0
    commit: str = ""
    hardware: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    date: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.card.name != self.task:
            raise ValueError(f"Expected the card of task {self.task!r}, but got the one of {self.card.name!r}.")
        wanted = [metric.name for metric in self.card.metrics]
        got = self.metrics.get(self.task, {})
        if missing := [name for name in wanted if name not in got]:
            raise ValueError(
                f"Expected the metrics of {self.method}'s task {self.task!r} to hold {', '.join(wanted)}, "
                f"but {', '.join(missing)} is missing."
            )
        if self.zero_ratio is not None and not 0 <= self.zero_ratio <= 1:
            raise ValueError(f"Expected `zero_ratio` to lie in [0, 1], but got {self.zero_ratio}.")


def write_result(path: Path, result: StageResult) -> None:
    """Write a result so that a reader sees all of it or nothing, even after a power cut. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"format": FORMAT, "version": VERSION, **asdict(result)}
    text = dumps(record, indent=2) + "\n"
    write_text(path, text)


def read_result(path: Path) -> StageResult:
    """Read a result.

    Raises:
        ResultError: If there is none, or it is truncated, another program's, or of a newer version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultError(f"Expected a stage's result at {path}, but there is no file. Has the stage ended?") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ResultError(
            f"{path} is not whole JSON ({error}): truncated or damaged. "
            "Delete it, and the stage is done again when the run is resumed."
        ) from None
    fields = Fields(data, path)
    if fields.data.get("format") != FORMAT:
        raise ResultError(
            f"Expected {path} to be a {FORMAT} file, but its `format` is {brief(fields.data.get('format'))}."
        )
    if fields.take("version", int) != VERSION:
        raise ResultError(
            f"Expected {path} to be of version {VERSION}, but got {fields.data['version']}. Install a newer stencilnet."
        )
    return _result(fields, path)


def _result(fields: Fields, path: Path) -> StageResult:
    fields.known("format", "version", *StageResult.__dataclass_fields__)
    metrics = fields.inside("metrics")
    notes = fields.take("notes", list)
    if not all(isinstance(note, str) for note in notes):
        raise fields.error("notes", "a list of texts", notes)
    try:
        return StageResult(
            method=fields.take("method", str),
            task=fields.take("task", str),
            card=_card(fields.inside("card")),
            parent=fields.take_or_none("parent", str),
            moves_shared=fields.take("moves_shared", bool),
            metrics={task: metrics.inside(task).table(float) for task in metrics.data},
            digests=fields.inside("digests").table(str),
            validation=fields.take_or_none("validation", float),
            selected_step=fields.take_or_none("selected_step", int),
            seconds=fields.take("seconds", float),
            sizes=_sizes(fields.inside("sizes")),
            stored=fields.take_or_none("stored", int),
            multiply_adds=fields.take_or_none("multiply_adds", int),
            zero_ratio=fields.take_or_none("zero_ratio", float),
            seed=fields.take("seed", int),
            commit=fields.take("commit", str),
            hardware=fields.take("hardware", str),
            versions=fields.inside("versions").table(str),
            date=fields.take("date", str),
            notes=tuple(notes),
        )
    except ResultError:
        raise
    except ValueError as error:
        raise ResultError(f"{path} does not add up: {error}") from None


def _card(fields: Fields) -> TaskCard:
    fields.known(*TaskCard.__dataclass_fields__)
    return TaskCard(
        number=fields.take("number", int),
        name=fields.take("name", str),
        title=fields.take("title", str),
        category=fields.take("category", str),
        data=fields.take("data", str),
        input=fields.take("input", str),
        output=fields.take("output", str),
        loss=fields.take("loss", str),
        metrics=tuple(_metric(metric) for metric in fields.each("metrics")),
        trivial=fields.take("trivial", str),
    )


def _metric(fields: Fields) -> Metric:
    fields.known("name", "higher_is_better", "note")
    return Metric(
        name=fields.take("name", str),
        higher_is_better=fields.take("higher_is_better", bool),
        note=fields.take("note", str),
    )


def _sizes(fields: Fields) -> Sizes:
    fields.known("delta", "shared", "snapshot")
    return Sizes(
        delta=fields.take("delta", int), shared=fields.take("shared", int), snapshot=fields.take("snapshot", int)
    )
