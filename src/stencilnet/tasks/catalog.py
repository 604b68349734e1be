"""The classes that learn the task kinds of `stencilnet.kinds.catalog`, built in or of other packages."""

from collections.abc import Mapping
from functools import cache
from pkgutil import resolve_name
from types import MappingProxyType
from typing import cast

from stencilnet.kinds.catalog import BUILT_IN, GROUP, check_kind
from stencilnet.kinds.kind import DeclaredKind
from stencilnet.plugins import load
from stencilnet.tasks.task import Task
from stencilnet.text.shortening import brief


@cache
def task_kinds() -> Mapping[str, type[Task]]:
    """Return the classes that learn, by the names of their kinds, in the order of `kinds`.

    Raises:
        PluginError: If an installed package registers a kind that cannot be used or learned.
    """
    built_in = {kind.kind: kind for kind in BUILT_IN}
    others = cast(dict[str, type[DeclaredKind]], load(GROUP, taken=built_in, check=_check))
    return MappingProxyType({name: _learner(kind) for name, kind in (built_in | others).items()})


def _check(name: str, value: object) -> None:
    check_kind(name, value)
    _learner(cast(type[DeclaredKind], value))


def _learner(kind: type[DeclaredKind]) -> type[Task]:
    """Return the class that a kind names to learn its tasks: a dataclass that extends it, or else the kind itself."""
    place = getattr(kind, "learner", None)
    found = kind if place is None else resolve_name(place)
    if not (isinstance(found, type) and issubclass(found, kind) and "__dataclass_fields__" in vars(found)):
        raise TypeError(f"expected `learner` to name a dataclass that extends {kind.__name__}, but got {brief(found)}")
    return cast(type[Task], found)
