"""Opens a task's data: reads the sources, splits off the held-out part, and leaves out photos without colour."""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stencilnet.config.classes import check_class_folders
from stencilnet.config.schema import TaskPlan
from stencilnet.data.folders import Examples
from stencilnet.data.sources import split
from stencilnet.storage import write_text
from stencilnet.tasks.colorization import is_gray
from stencilnet.tasks.task import Example
from stencilnet.text.strict_json import dumps, loads

logger = logging.getLogger(__name__)

_TOLD_EVERY = 10_000
"""Number of photos between two log lines."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """A task's examples, opened.

    Attributes:
        train: Training examples.
        validation: Examples that select the training step. Never the test examples.
    """

    train: Sequence[Example]
    validation: Sequence[Example]


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskData(Splits):
    """A task's examples, opened, those of the test included.

    Attributes:
        test: Test examples, used once; those for validation if the config names none.
    """

    train: Examples
    validation: Examples
    test: Examples


def open_data(plan: TaskPlan, root: Path, *, memo: Path | None = None, look: bool = True) -> TaskData:
    """Open a task's data under a root folder.

    Args:
        plan: The task.
        root: The root folder.
        memo: A file that caches which photos are gray, since finding out decodes every photo.
        look: Whether to look for gray photos; if not, they stay in.

    Raises:
        ValueError: If a folder is missing or empty, its files do not match, or all of its photos are gray.
    """
    check_class_folders(plan, root)
    train = plan.data.train.open(root)
    if plan.data.validation is None:
        train, validation = split(train, plan.data.holdout)
    else:
        validation = plan.data.validation.open(root)
    test = validation if plan.data.test is None else plan.data.test.open(root)
    opened = {"train": train, "validation": validation, "test": test}
    if plan.data.drop_gray and look:
        known = _read_memo(memo)
        opened = {part: _without_gray(found, f"{plan.name} {part}", known) for part, found in opened.items()}
        if memo is not None:
            memo.parent.mkdir(parents=True, exist_ok=True)
            write_text(memo, dumps(known))
    return TaskData(**opened)


def _without_gray(examples: Examples, label: str, known: dict[str, list[int]]) -> Examples:
    """Leave out gray photos; `known` caches the positions of gray ones, by a digest of the examples, and is updated."""
    digest = digest_of(examples)
    if digest not in known:
        known[digest] = list(_gray(examples, label))
    gray = set(known[digest])
    kept = [position for position in range(len(examples)) if position not in gray]
    if not kept:
        raise ValueError(f"{label}: expected colour photos, but all {len(examples)} are gray.")
    if gray:
        logger.info("%s: %d of %d photos are gray and left out", label, len(gray), len(examples))
    return examples.take(kept)


def _gray(examples: Examples, label: str) -> Iterator[int]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding runs outside Python's lock
        for position, found in enumerate(pool.map(lambda index: is_gray(examples[index]), range(len(examples)))):
            if found:
                yield position
            if (position + 1) % _TOLD_EVERY == 0:
                logger.info("%s: checked %d of %d photos for colour", label, position + 1, len(examples))


def digest_of(examples: Examples) -> str:
    """Return a hash of the files' names, sizes and dates and of how they are read, by which caches are checked."""
    digest = hashlib.sha256()
    for index, name in enumerate(examples.names):
        digest.update(f"{name}\n".encode(errors="surrogateescape"))
        if examples.origin is None:
            continue
        origin = examples.origin(index)
        digest.update(f"{origin.how}\n".encode())
        for path in origin.files:
            found = path.stat()
            digest.update(f"{found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _read_memo(memo: Path | None) -> dict[str, list[int]]:
    if memo is None or not memo.exists():
        return {}
    try:
        known: dict[str, list[int]] = loads(memo.read_text(encoding="utf-8"))
    except ValueError:  # only a cache; without it the photos are checked again
        return {}
    return known
