"""Checks a task's data before training: reads all headers, counts the classes, and refuses what cannot be used.

On data with a single class, or without any labelled pixel, a network scores perfectly and has learned nothing.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from stencilnet.config.schema import TaskPlan, sources
from stencilnet.data.folders import Examples, shown
from stencilnet.errors import UsageError
from stencilnet.learning.headers import header_problems
from stencilnet.learning.opening import TaskData, digest_of
from stencilnet.storage import write_text
from stencilnet.tasks.inventory import CountedTask, Inventory
from stencilnet.tasks.metrics import least_side
from stencilnet.tasks.task import Example, Task
from stencilnet.text.strict_json import dumps, loads
from stencilnet.training.sampling import permutation

logger = logging.getLogger(__name__)

PARTS = {"train": "training", "validation": "validation", "test": "test"}
"""Parts of a task's data, and their names in messages."""

LIMIT = 20_000
"""Maximum number of label maps of a part of which all are counted. Larger parts, generated examples, and data whose
labels cannot be read without the photos, are read only until everything wanted has been found."""

_AT_ONCE = 16
_TOLD_EVERY = 10_000
"""Number of examples between two log lines."""


class DataError(UsageError):
    """Data from which nothing can be learned, or on which nothing can be measured; the message lists all reasons."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The counts of one part of a task's data.

    Attributes:
        found: Number of units of each thing that the task's `Inventory` names; last, of units that are none of them.
        looked: Number of examples that were read.
        examples: Number of all examples; larger than `looked` if everything wanted was found earlier.
    """

    found: tuple[int, ...]
    looked: int
    examples: int


def check_all(
    plans: Iterable[TaskPlan],
    data: Callable[[str], TaskData],
    announce: Callable[[str], None],
    memo: Callable[[str], Path | None] = lambda _: None,
) -> None:
    """Check and count several tasks' data, and announce the classes that they lack.

    Args:
        plans: The tasks.
        data: Opens a task's data by name.
        announce: Called with one line for each lack.
        memo: Returns the file that caches a task's counts; see `check_data`.

    Raises:
        DataError: If something cannot be read, learned or measured; the message lists the problems of all tasks.
    """
    problems: list[str] = []
    for plan in plans:
        try:
            for line in check_data(plan, data(plan.name), memo=memo(plan.name)):
                announce(line)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)


def check_data(
    plan: TaskPlan, data: TaskData, *, memo: Path | None = None, parts: Sequence[str] = tuple(PARTS)
) -> tuple[str, ...]:
    """Check and count a task's data, and return which of its classes are missing, a sentence per part.

    The header of every picture is read, and label files are counted; see `stencilnet.learning.headers`.

    Args:
        plan: The task.
        data: Its examples.
        memo: A file that caches the counts until the data change.
        parts: Which of `PARTS` to check.

    Raises:
        DataError: If a picture's header cannot be read or the picture is too small, there is nothing to learn in the
            training part, nothing to measure in another, or labels are not the task's classes; the message lists all
            problems.
    """
    task, problems = plan.task, []
    for part in parts:
        stored = part == "test" and plan.view.test == "whole" and plan.view.resize is None  # else enlarged as needed
        least = least_side(task.metrics) if stored else 1
        problems += _unusable(getattr(data, part), f"{plan.name}, {PARTS[part]} part", least)
    if problems:
        raise DataError(problems)
    if not isinstance(task, CountedTask):
        return ()
    wanted, kept = task.inventory(), read_memo(memo)
    known: dict[str, Counts] = {}
    for part in parts:
        examples: Examples = getattr(data, part)
        mark = _mark(plan, wanted, part, examples)
        try:
            if part not in kept or kept[part][0] != mark:
                kept[part] = mark, count(task, examples, f"{plan.name} {PARTS[part]}")
            known[part] = kept[part][1]
        except ValueError as error:
            problems.append(f"{plan.name}, {PARTS[part]} part: {error}")
    if memo is not None and not problems:
        _write_memo(memo, kept, wanted)
    more, lacking = judged(wanted, known, plan.name)
    if problems or more:
        raise DataError([*problems, *more])
    return lacking


def check_splits(task: Task, name: str, train: Sequence[Example], validation: Sequence[Example]) -> tuple[str, ...]:
    """Check examples that come from no config, read until everything wanted is found; return as `check_data` does.

    Raises:
        DataError: If a picture's header cannot be read, there is nothing to learn, or nothing to select the step by.
        ValueError: If labels that were read are not the task's classes.
    """
    parts = {"train": train, "validation": validation}
    unusable = [line for part, found in parts.items() for line in _unusable(found, f"{name}, {PARTS[part]} part")]
    if unusable:
        raise DataError(unusable)
    if not isinstance(task, CountedTask):
        return ()
    known = {part: count(task, found, f"{name} {PARTS[part]}", limit=0) for part, found in parts.items()}
    problems, lacking = judged(task.inventory(), known, name)
    if problems:
        raise DataError(problems)
    return lacking


def noted(plan: TaskPlan, memo: Path) -> tuple[str, ...]:
    """Return which classes a task's data lack according to its file of counts; nothing if the file does not exist."""
    if not isinstance(plan.task, CountedTask):
        return ()
    wanted = plan.task.inventory()
    fitting = len(wanted.things) + 1
    known = {part: counts for part, (_, counts) in read_memo(memo).items() if len(counts.found) == fitting}
    return judged(wanted, known, plan.name)[1]


def count(task: CountedTask, examples: Sequence[Example], label: str, limit: int = LIMIT) -> Counts:
    """Count the classes in examples.

    Args:
        task: Its inventory says what to count.
        examples: The examples; their photos are not read if label files can be read alone.
        label: Their name in the log.
        limit: Maximum number of label files of which all are read; see `LIMIT`.

    Raises:
        ValueError: If an example does not fit the task.
    """
    wanted, size = task.inventory(), len(examples)
    truth = examples.truth if isinstance(examples, Examples) else None
    whole = truth is not None and size <= limit
    read = truth or examples.__getitem__
    found, looked = torch.zeros(len(wanted.things) + 1, dtype=torch.int64), 0
    order = range(size) if whole else permutation(0, 0, size)  # files may be sorted by class
    for counts in _counted(task, read, order, threads=isinstance(examples, Examples)):
        found, looked = found + counts, looked + 1
        if looked % _TOLD_EVERY == 0:
            logger.info("%s: counted %d of %d examples", label, looked, size)
        if not whole and int((found[:-1] > 0).sum()) >= (len(wanted.things) if wanted.named else wanted.least):
            break
    return Counts(found=tuple(found.tolist()), looked=looked, examples=size)


def judged(wanted: Inventory, known: Mapping[str, Counts], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return why parts of the data cannot be learned or measured, and which classes the others lack, a sentence each.

    Args:
        wanted: What was counted.
        known: The counts by part.
        name: The task's name in messages.
    """
    problems, lacking = [], []
    for part, counts in known.items():
        missing = _missing(wanted, counts)
        need, words = (wanted.least, wanted.enough) if part == "train" else (1, wanted.some)
        if len(wanted.things) - len(missing) < need:
            found = _found(wanted, counts)
            problems.append(f"{name}: expected {words} in the {PARTS[part]} part, but {found}. {wanted.remedy}")
        elif wanted.named and missing and part != "validation":
            left = "learned" if part == "train" else "measured"
            held = _none(wanted, missing) + _rest(wanted, counts)
            lacking.append(f"{name}: the {PARTS[part]} part holds {held}. It is {left} on the other classes.")
    return tuple(problems), tuple(lacking)


def _unusable(examples: Sequence[Example], label: str, least: int = 1) -> list[str]:
    found = header_problems(examples, least) if isinstance(examples, Examples) else []
    return [f"{label}: {problem}" for problem in found]


def read_memo(memo: Path | None) -> dict[str, tuple[str, Counts]]:
    """Return the cached counts by part of the data, each with the mark of the data that were counted."""
    if memo is None or not memo.exists():
        return {}
    try:
        kept: dict[str, dict[str, Any]] = loads(memo.read_text(encoding="utf-8"))
        return {part: (str(held["mark"]), _counts_of(held)) for part, held in kept.items()}
    except (ValueError, KeyError, TypeError, AttributeError):  # only a cache; without it all is counted again
        return {}


def _counts_of(held: Mapping[str, Any]) -> Counts:
    found = tuple(int(value) for value in (*held["found"].values(), held["rest"]))
    return Counts(found=found, looked=int(held["looked"]), examples=int(held["examples"]))


def _write_memo(memo: Path, kept: Mapping[str, tuple[str, Counts]], wanted: Inventory) -> None:
    plain = {}
    for part, (mark, counts) in kept.items():
        *found, rest = counts.found
        named = dict(zip(wanted.things, found, strict=True))
        plain[part] = {"mark": mark, "unit": wanted.unit, **asdict(counts), "found": named, "rest": rest}
    text = dumps(plain, indent=2) + "\n"
    if not memo.exists() or memo.read_text(encoding="utf-8") != text:
        memo.parent.mkdir(parents=True, exist_ok=True)
        write_text(memo, text)


def _mark(plan: TaskPlan, wanted: Inventory, part: str, examples: Examples) -> str:
    """Return a hash of the files, of how they are read, and of what is counted."""
    source = sources(plan).get(part, plan.data.train)
    return sha256(f"{digest_of(examples)}\n{source}\n{plan.task}\n{wanted}".encode()).hexdigest()


def _counted(
    task: CountedTask, read: Callable[[int], Example], order: Sequence[int], *, threads: bool
) -> Iterator[torch.Tensor]:
    """Yield the counts of examples in order; a user's data set may not be thread-safe."""
    if not threads:
        yield from (task.count(read(index)) for index in order)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding runs outside Python's lock
        for start in range(0, len(order), _AT_ONCE):
            yield from pool.map(lambda index: task.count(read(index)), order[start : start + _AT_ONCE])


def _missing(wanted: Inventory, counts: Counts) -> list[str]:
    return [thing for thing, held in zip(wanted.things, counts.found[:-1], strict=True) if not held]


def _found(wanted: Inventory, counts: Counts) -> str:
    missing = _missing(wanted, counts)
    kinds = len(wanted.things) - len(missing)
    got = f"it holds {_none(wanted, missing)}" if wanted.named else f"got {kinds or 'none'}"
    return got + _rest(wanted, counts)


def _rest(wanted: Inventory, counts: Counts) -> str:
    """Return a clause on the share of units that are none of the wanted things; empty if there are none."""
    total, rest = sum(counts.found), counts.found[-1]
    return f"; {100 * rest / total:.3g} % are {wanted.rest}" if rest else ""


def _none(wanted: Inventory, missing: Sequence[str]) -> str:
    """Return a phrase on the missing classes."""
    named = shown([f"`{thing}`" for thing in missing])
    if len(missing) == 1:
        return f"no {wanted.unit} of class {named}"
    return f"no {wanted.unit} of {len(missing)} of the {len(wanted.things)} classes ({named})"
