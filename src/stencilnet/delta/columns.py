"""State-dict keys for the columns and adapters of a progressive network (Rusu et al. 2016).

A task's own column has the backbone's keys. In a delta, ``lateral/<task>/<level>.weight`` is the adapter from that
earlier task's column into the task's own, at that level. A task's full weights hold the columns it needs as
``column/<task>/<key>``, adapters included.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")

_COLUMN = "column"
_LATERAL = "lateral"


def column_key(task: str, key: str) -> str:
    """Return the key of a tensor of an earlier task's column among a later task's weights."""
    return f"{_COLUMN}/{task}/{key}"


def lateral_key(task: str, level: str) -> str:
    """Return the key of the adapter from an earlier task's column at a level; a level is the name of a layer."""
    return f"{_LATERAL}/{task}/{level}.weight"


def lateral_of(key: str) -> tuple[str, str] | None:
    """Return the task and the weight's key (``<level>.weight``) that an adapter's key names; None for other keys."""
    kind, _, rest = key.partition("/")
    task, _, weight = rest.partition("/")
    return (task, weight) if kind == _LATERAL and weight else None


def backbone_key(key: str) -> str:
    """Return the backbone key of a tensor of any column; for an adapter, the key of the weight beside it."""
    kind, _, rest = key.partition("/")
    if kind == _COLUMN and rest:
        return backbone_key(rest.partition("/")[2])
    found = lateral_of(key)
    return key if found is None else found[1]


def needed(keys: Iterable[str]) -> tuple[str, ...]:
    """Return the earlier tasks whose columns the adapters read, in the order in which they are named."""
    return tuple(dict.fromkeys(found[0] for key in keys if (found := lateral_of(key)) is not None))


def split_columns(weights: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """Return a task's weights by column, in the order of running: earlier tasks by name, its own last as ``""``."""
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
