"""Verifies a bundle: hashes and decodes every file and reports everything that is wrong."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from stencilnet.bundle.architecture import read_backbone, reference_of
from stencilnet.bundle.deltas import Reference, check_columns, read_delta
from stencilnet.bundle.format import BACKBONE, CONFIG, TASK, TASKS, BundleError, delta_name
from stencilnet.bundle.reading import read_config
from stencilnet.bundle.records import delta_hash, read_task
from stencilnet.bundle.schema import BundleConfig
from stencilnet.storage import GONE, NEW

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fault or leftover.

    Attributes:
        file: The file or folder.
        what: What is wrong.
        expected: What was expected.
        got: What was found.
        remedy: What to do about it.
        leftover: Whether it is only a leftover of a crash, which nothing reads and which may be deleted.
    """

    file: str
    what: str
    expected: str
    got: str
    remedy: str
    leftover: bool = False

    @classmethod
    def of(cls, error: BundleError) -> "Finding":
        """Return an error as a finding."""
        return cls(file=error.file, what=error.what, expected=error.expected, got=error.got, remedy=error.remedy)

    def __str__(self) -> str:
        return f"{self.file}: {self.what}. Expected {self.expected}, but got {self.got}. {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of `verify`.

    Attributes:
        checked: The files whose content was read and found correct: by their hashes, but for a graph, which has none.
        findings: Faults and leftovers.
    """

    checked: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the bundle is intact; leftovers are ignored."""
        return all(finding.leftover for finding in self.findings)


def verify(path: str | Path, *, backbone: bool = True) -> Verification:
    """Read a whole bundle and check every file against its hash and every delta against the backbone.

    Outputs are not compared: their last bits differ between processors. The weights, which determine them, are compared
    exactly. The graph of another network is checked by `stencilnet.runtime.verifying.verify`, which runs this too.

    Args:
        path: The bundle's folder.
        backbone: False for tasks that are shared without the backbone's weights (`stencilnet.sharing`): their deltas
            are then checked against their hashes only. Default True.

    Returns:
        Everything found, not only the first.
    """
    root = Path(path)
    log = _Log()
    config = log.attempt(lambda: read_config(root), root / CONFIG)
    reference = None
    if config is not None and backbone:
        known = config
        reference = log.attempt(lambda: reference_of(known, read_backbone(root, known), root / CONFIG), root / BACKBONE)
    log.findings += _leftovers(root, (NEW,))
    if (root / TASKS).is_dir():
        log.findings += _leftovers(root / TASKS, (NEW, GONE))
        for folder in sorted(entry for entry in (root / TASKS).iterdir() if not entry.name.startswith(".")):
            _verify_task(root, folder, config, reference, log)
    return Verification(checked=tuple(log.checked), findings=tuple(log.findings))


class _Log:
    def __init__(self) -> None:
        self.checked: list[str] = []
        self.findings: list[Finding] = []

    def attempt(self, read: Callable[[], T], file: Path) -> T | None:
        try:
            value = read()
        except BundleError as error:
            self.findings.append(Finding.of(error))
            return None
        self.checked.append(str(file))
        return value


def _verify_task(root: Path, folder: Path, config: BundleConfig | None, reference: Reference | None, log: _Log) -> None:
    name = folder.name
    if not os.path.lexists(folder / TASK):
        if any(folder.glob("delta-*")):  # not left by a crash: folders appear and disappear atomically
            log.attempt(lambda: read_task(root, name, None), folder / TASK)
            return
        log.findings.append(_leftover(folder, f"a folder without {TASK} is no task"))
        return
    task = log.attempt(lambda: read_task(root, name, config.backbone if config else None), folder / TASK)
    if task is None:
        return
    delta = delta_name(task.delta)

    def whole() -> None:
        read_delta(root, name, task, reference)
        check_columns(task, folder / TASK, partial(delta_hash, root))

    log.attempt(whole, folder / delta)
    log.findings += _leftovers(folder, (NEW, "delta-"), named=delta)


def _leftovers(folder: Path, prefixes: tuple[str, ...], named: str = "") -> list[Finding]:
    if not folder.is_dir():
        return []
    found = sorted(entry for entry in folder.iterdir() if entry.name.startswith(prefixes) and entry.name != named)
    return [_leftover(entry, "nothing reads it") for entry in found]


def _leftover(file: Path, what: str) -> Finding:
    return Finding(
        file=str(file), what=what, expected="nothing", got="a leftover", remedy="It may be deleted.", leftover=True
    )
