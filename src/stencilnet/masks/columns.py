"""How a task's weights name the columns of a progressive net (Rusu et al. 2016): its own, earlier tasks', adapters.

A task's own column has the backbone's keys. A delta names an adapter ``lateral/<task>/<level>.weight``: from the column
of that earlier task into its own, at that level. A task's whole weights hold the columns it needs as
``column/<task>/<key>``, their adapters included.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

_COLUMN = "column"
_LATERAL = "lateral"


def column_key(task: str, key: str) -> str:
    """Return the key, among a later task's weights, of a tensor of an earlier task's column."""
    return f"{_COLUMN}/{task}/{key}"


def lateral_key(task: str, level: str) -> str:
    """Return the key of the adapter from an earlier task's column at a level, which is a layer's name."""
    return f"{_LATERAL}/{task}/{level}.weight"


def lateral_of(key: str) -> tuple[str, str] | None:
    """Return the task and the weight's key (``<level>.weight``) that an adapter's key names; None for other keys."""
    kind, _, rest = key.partition("/")
    task, _, weight = rest.partition("/")
    return (task, weight) if kind == _LATERAL and weight else None


def backbone_key(key: str) -> str:
    """Return the backbone's key that a tensor of a task's weights stands at, or beside, whatever its column."""
    kind, _, rest = key.partition("/")
    if kind == _COLUMN and rest:
        return backbone_key(rest.partition("/")[2])
    found = lateral_of(key)
    return key if found is None else found[1]


def needed(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the earlier tasks whose columns adapters lead from, in the order in which they are named."""
    return tuple(dict.fromkeys(found[0] for key in keys if (found := lateral_of(key)) is not None))


def split_columns(weights: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """Return a task's weights by column, in the order of running: earlier tasks' by name, its own last as ``""``."""
    columns: dict[str, dict[str, T]] = {}
    own: dict[str, T] = {}
    for key, value in weights.items():
        kind, _, rest = key.partition("/")
        if kind == _COLUMN and rest:
            task, _, inner = rest.partition("/")
            columns.setdefault(task, {})[inner] = value
        else:
            own[key] = value
    return {**columns, "": own}
