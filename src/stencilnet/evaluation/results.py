"""Results of trainings: plain data, one ``result.json`` per stage. All tables are made from these files alone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stencilnet.storage import write_text
from stencilnet.structuring import (
    NAMES,
    MismatchError,
    StructureError,
    UnknownKeysError,
    as_float,
    strict_converter,
    structured,
)
from stencilnet.tasks.task import Metric
from stencilnet.text.shortening import brief, listed, shorten
from stencilnet.text.strict_json import WORDS, dumps, loads

FORMAT = "stencilnet-result"
VERSION = 1

_REMEDY = "Delete it and resume the run; the stage is then done again."


class ResultError(ValueError):
    """A result file that cannot be read. The message is short, whatever the file holds."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, 1000))


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """A description of a task: one row of the paper's Table 1, and the task's metrics.

    Attributes:
        number: Position in the experiment, from 1; tables call it "Task 1".
        name: Name in bundles and configs.
        title: Name in tables and pictures.
        category: Semantic segmentation, style transfer, ...
        data: Training data.
        input: Input of the network.
        output: Output of the network.
        loss: Training loss.
        metrics: Metrics, the headline first.
        trivial: Name of the trivial baseline.
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
    """Bytes of tensors, with masks at one bit per weight and without file headers; bundles may store masks in fewer.

    Attributes:
        delta: Bytes that this task adds.
        shared: Bytes of the weights that all tasks share, in this stage's state.
        snapshot: Bytes of a whole network for this one task.
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
        card: Description of the task.
        parent: The task from whose state the training started; None for the first.
        moves_shared: Whether the method may change the shared weights, and with them earlier tasks.
        metrics: Test metrics by task and name, for every task that was tested in this state, including `task`.
        digests: SHA-256 of the effective weights, by tested task; equal weights give equal outputs.
        validation: The headline metric on validation examples at the selected step.
        selected_step: The step that validation selected.
        seconds: Training time.
        sizes: Bytes of what was learned.
        stored: Bytes of the task's delta as a bundle stores it, with coded masks; None in results of older versions.
        multiply_adds: Multiply-adds of running the task on one picture of 256 x 256 px; None as for `stored`.
        zero_ratio: Share of zeros in the task's mask or codes, in [0, 1]; None if it has neither.
        seed: Seed of weights, data order and crops.
        commit: Commit of the code.
        hardware: Hardware in words.
        versions: Versions of Python and libraries.
        date: Time at which the stage ended, ISO 8601.
        notes: What readers of the numbers need to know, such as the perceptual network's name.
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
            raise ValueError(f"Expected the card of task {self.task!r}, but got that of {self.card.name!r}.")
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
    """Write a result atomically, even in a power cut: a reader sees all of it or nothing. Creates the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"format": FORMAT, "version": VERSION, **asdict(result)}
    text = dumps(record, indent=2) + "\n"
    write_text(path, text)


def read_result(path: Path) -> StageResult:
    """Read a result.

    Raises:
        ResultError: If the file does not exist, is truncated, or was written by another program or a newer version.
    """
    try:
        data = loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultError(f"Expected a stage's result at {path}, but there is no file. Run the stage first.") from None
    except ValueError as error:
        raise ResultError(f"{path} is not whole JSON ({error}): truncated or damaged. {_REMEDY}") from None
    if not isinstance(data, dict):
        raise _mismatch(path, "the file", dict, data)
    found, version = data.pop("format", None), data.pop("version", None)
    if found != FORMAT:
        raise ResultError(f"Expected {path} to be a {FORMAT} file, but its `format` is {brief(found)}.")
    if type(version) is not int:
        raise _mismatch(path, "version", int, version)
    if version != VERSION:
        raise ResultError(f"Expected {path} to be of version {VERSION}, but got {version}. Install a newer stencilnet.")
    try:
        return structured(data, StageResult, _CONVERTER)
    except StructureError as error:
        raise _refusal(path, *error.mistakes[0]) from None


def _number(value: object, _: type) -> float:
    """Return a number; it may be written as a word for one that is not finite."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return as_float(value)
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    raise MismatchError(float, value)


_CONVERTER = strict_converter(complete=True)
_CONVERTER.register_structure_hook(float, _number)


def _refusal(path: Path, place: str, mistake: Exception) -> ResultError:
    """Return the error for the first mistake of a file."""
    match mistake:
        case MismatchError():
            return _mismatch(path, place, mistake.expected, mistake.value)
        case UnknownKeysError():
            where = f" in `{place}`" if place else ""
            return ResultError(
                f"{path} has unknown fields{where}: {listed(mistake.names)}. A newer version may have written it."
            )
    return ResultError(f"{path} is inconsistent: {shorten(place)}{': ' if place else ''}{mistake}")


def _mismatch(path: Path, place: str, expected: type, value: object) -> ResultError:
    got = "nothing" if value is None else f"{type(value).__name__} {brief(value, 80)}"
    wanted = "an object" if expected is dict else NAMES[expected]  # JSON's terms
    return ResultError(
        f"Expected `{shorten(place)}` of {path} to be {wanted}, but got {got}. Another program may have written it. "
        f"{_REMEDY}"
    )
