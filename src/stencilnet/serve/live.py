"""An engine that follows its bundle: tasks that are added or removed are seen without a restart."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from stencilnet.bundle.format import BACKBONE, CONFIG, TASK, TASKS
from stencilnet.runtime import Engine

logger = logging.getLogger(__name__)

FolderState: TypeAlias = frozenset[tuple[str, int, int, int]]
"""Name, date, size and inode of every file of a bundle that says what it holds."""


class LiveEngine:
    """Holds an engine of a bundle's current state.

    Args:
        path: The bundle's folder.
        open_engine: Opens an engine of it.

    Attributes:
        path: The bundle's folder.
        problem: Why the folder's current state cannot be opened; empty if it can. The engine is that of the last state
            that could.

    Raises:
        BundleError: If the bundle cannot be opened.
    """

    def __init__(self, path: Path, open_engine: Callable[[Path], Engine]) -> None:
        self.path = path
        self.problem = ""
        self._open = open_engine
        self._changing = threading.Lock()
        self._state = state_of(path)
        self._engine = open_engine(path)

    def current(self) -> Engine:
        """Return the engine of the folder's current state; work that has begun ends on the one that it has."""
        if state_of(self.path) != self._state:
            with self._changing:
                state = state_of(self.path)
                if state != self._state:
                    self._renew(state)
        return self._engine

    def _renew(self, state: FolderState) -> None:
        try:
            self._engine, self.problem = self._open(self.path), ""
        except (ValueError, OSError) as error:
            self.problem = str(error)
            logger.warning("the bundle has changed and cannot be opened; it is served as it was: %s", error)
        self._state = state


def state_of(path: Path) -> FolderState:
    """Return a bundle's state by looking at its folder; no file is read, and missing ones are left out."""
    found = [_looked_at(path / name) for name in (CONFIG, BACKBONE)]
    folder = path / TASKS
    names = os.listdir(folder) if folder.is_dir() else []
    found += [_looked_at(folder / name / TASK) for name in names if not name.startswith(".")]
    return frozenset(each for each in found if each is not None)


def _looked_at(file: Path) -> tuple[str, int, int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return str(file), status.st_mtime_ns, status.st_size, status.st_ino
