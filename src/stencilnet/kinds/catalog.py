"""The registry of task kinds, built in or registered by other packages. No other module lists kinds.

What learns them: `stencilnet.tasks.catalog`.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, cast

from stencilnet.kinds.classification import ClassificationKind
from stencilnet.kinds.colorization import ColorizationKind
from stencilnet.kinds.depth import DepthKind
from stencilnet.kinds.edges2photo import Edges2PhotoKind
from stencilnet.kinds.kind import DeclaredKind, Kind, Traits
from stencilnet.kinds.normals import NormalsKind
from stencilnet.kinds.restoration import RestorationKind
from stencilnet.kinds.segmentation import SegmentationKind
from stencilnet.kinds.style import StyleKind
from stencilnet.plugins import load
from stencilnet.text.shortening import brief, listed

GROUP = "stencilnet.tasks"
"""Entry point group in which other packages register task kinds."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What a kind's name looks like."""

BUILT_IN: tuple[type[DeclaredKind], ...] = (
    SegmentationKind,
    ColorizationKind,
    StyleKind,
    Edges2PhotoKind,
    RestorationKind,
    DepthKind,
    NormalsKind,
    ClassificationKind,
)
"""Task kinds of this package."""

_BUILT_IN = {kind.kind: kind for kind in BUILT_IN}

_UNREGISTERED = Traits(category="unregistered", loss="its own")
"""Traits of a custom task that is learned from Python without being registered."""


@cache
def kinds() -> Mapping[str, type[DeclaredKind]]:
    """Return all task kinds by their names in configs and bundles.

    Raises:
        PluginError: If an installed package registers a kind that cannot be used.
    """
    others = cast(dict[str, type[DeclaredKind]], load(GROUP, taken=_BUILT_IN, check=check_kind))
    return MappingProxyType(_BUILT_IN | others)


def _kind(name: str) -> type[DeclaredKind] | None:
    """Return a kind; other packages are asked only for those that are not built in, since that takes 35 ms."""
    return _BUILT_IN.get(name) or kinds().get(name)


def traits_of(kind: str) -> Traits:
    """Return the traits of a kind; defaults for a kind that is not registered.

    Raises:
        PluginError: If an installed package registers a kind that cannot be used.
    """
    found = _kind(kind)
    return _UNREGISTERED if found is None else found.traits


def kind_from_record(kind: str, settings: Mapping[str, Any]) -> Kind:
    """Rebuild a task from the name of its kind and its `Kind.settings`.

    Args:
        kind: A key of `kinds()`.
        settings: Fields of the kind; omitted fields keep their defaults. `Traits.former` ones are ignored.

    Raises:
        PluginError: If an installed package registers a kind that cannot be used.
        ValueError: If the kind does not exist, or settings are unknown, missing or wrong.
    """
    build: Callable[..., Kind] | None = _kind(kind)
    if build is None:
        raise ValueError(
            f"Expected a task kind among {', '.join(kinds())}, but got {brief(kind)}. "
            "Install a newer version, or the package that defines it."
        )
    settings = {name: value for name, value in settings.items() if name not in traits_of(kind).former}
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


def check_kind(name: str, value: object) -> None:
    """Check that an object is a task kind of this name.

    Raises:
        TypeError: If it is not a dataclass with traits.
        ValueError: If its name is another, or not one of a kind.
    """
    if not isinstance(value, type) or "__dataclass_fields__" not in vars(value):
        raise TypeError(f"expected a dataclass, but got {brief(value)}")
    kind = cast(type[DeclaredKind], value)
    if kind.kind != name or not NAME.fullmatch(name):
        raise ValueError(f"expected `kind` to be {name!r} and to match {NAME.pattern}, but got {brief(kind.kind)}")
    if not isinstance(kind.traits, Traits):
        raise TypeError(f"expected `traits` to be a Traits, but got {brief(kind.traits)}")
