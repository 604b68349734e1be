"""The registry of task kinds, built in or registered by other packages. No other module lists kinds."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, cast

from stencilnet.plugins import load
from stencilnet.tasks.classification import Classification
from stencilnet.tasks.colorization import Colorization
from stencilnet.tasks.depth import Depth
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.normals import Normals
from stencilnet.tasks.restoration import Restoration
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.style import StyleTransfer
from stencilnet.tasks.task import Task
from stencilnet.tasks.traits import Kind, Traits
from stencilnet.text.shortening import brief, listed

GROUP = "stencilnet.tasks"
"""Entry point group in which other packages register task kinds."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What a kind's name looks like."""

BUILT_IN: tuple[type[Kind], ...] = (
    Segmentation,
    Colorization,
    StyleTransfer,
    Edges2Photo,
    Restoration,
    Depth,
    Normals,
    Classification,
)
"""Task kinds of this package."""

_UNREGISTERED = Traits(category="unregistered", loss="its own")
"""Traits of a custom task that is learned from Python without being registered."""


@cache
def kinds() -> Mapping[str, type[Kind]]:
    """Return all task kinds by their names in configs and bundles.

    Raises:
        PluginError: If an installed package registers a kind that cannot be used.
    """
    built_in = {kind.kind: kind for kind in BUILT_IN}
    return MappingProxyType(built_in | cast(dict[str, type[Kind]], load(GROUP, taken=built_in, check=_check)))


def traits_of(kind: str) -> Traits:
    """Return the traits of a kind; defaults for a kind that is not registered.

    Raises:
        PluginError: If an installed package registers a kind that cannot be used.
    """
    found = kinds().get(kind)
    return _UNREGISTERED if found is None else found.traits


def task_from_record(kind: str, settings: Mapping[str, Any]) -> Task:
    """Rebuild a task from its kind and its `Task.settings`.

    Args:
        kind: A key of `kinds()`.
        settings: Fields of the kind; omitted fields keep their defaults.

    Raises:
        PluginError: If an installed package registers a kind that cannot be used.
        ValueError: If the kind does not exist, or settings are unknown, missing or wrong.
    """
    if kind not in kinds():
        raise ValueError(
            f"Expected a task kind among {', '.join(kinds())}, but got {brief(kind)}. "
            "Install a newer version, or the package that defines it."
        )
    build: Callable[..., Task] = kinds()[kind]
    fields = signature(build).parameters
    unknown = sorted(set(settings) - set(fields))
    missing = [name for name, field in fields.items() if field.default is Parameter.empty and name not in settings]
    problems = [
        *([f"unknown {listed(unknown)}"] if unknown else []),
        *([f"missing {', '.join(missing)}"] if missing else []),
    ]
    if problems:
        raise ValueError(
            f"Expected settings of the task kind `{kind}`, but got {' and '.join(problems)}. "
            f"It has {', '.join(fields) or 'no settings'}."
        )
    return build(**settings)


def _check(name: str, value: object) -> None:
    """Raise an error if the value is not a task kind of this name."""
    if not isinstance(value, type) or "__dataclass_fields__" not in vars(value):
        raise TypeError(f"expected a dataclass, but got {brief(value)}")
    kind = cast(type[Kind], value)
    if kind.kind != name or not NAME.fullmatch(name):
        raise ValueError(f"expected `kind` to be {name!r} and to match {NAME.pattern}, but got {brief(kind.kind)}")
    if not isinstance(kind.traits, Traits):
        raise TypeError(f"expected `traits` to be a Traits, but got {brief(kind.traits)}")
