"""How plain YAML data become the dataclasses of a config: strictly, and each mistake by its path."""

import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, Literal, get_args, get_origin

import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from stencilnet.data.damage import Damage
from stencilnet.data.sources import Source
from stencilnet.methods import AnyMethod, registered
from stencilnet.tasks.catalog import kinds
from stencilnet.tasks.task import Task
from stencilnet.text.shortening import brief


def make_converter() -> cattrs.Converter:
    """Return the converter of configs, both ways."""
    made = cattrs.Converter(forbid_extra_keys=True)
    for plain in (bool, int, float, str):
        made.register_structure_hook(plain, _strictly(plain))
    made.register_structure_hook_factory(
        dataclasses.is_dataclass, lambda section: _of_kind(dict, made.gen_structure_attrs_fromdict(section))
    )
    made.register_structure_hook_factory(_made_of(dict), lambda kind: _of_kind(dict, made.gen_structure_mapping(kind)))
    made.register_structure_hook_factory(_made_of(tuple), lambda kind: _of_kind(list, _row(get_args(kind), made)))
    made.register_structure_hook_factory(_made_of(Literal), lambda kind: _one_of(get_args(kind)))
    for union, tag in (
        (Source, "kind"),
        (Source | None, "kind"),
        (Damage | None, "kind"),
    ):
        members = {getattr(member, tag): member for member in get_args(union) if member is not types.NoneType}
        made.register_structure_hook(union, _tagged(members, made, optional=types.NoneType in get_args(union)))
        made.register_unstructure_hook(union, _with_tag(tag, made))
    made.register_structure_hook_func(lambda target: target is Task, _tagged(kinds(), made, optional=False))
    made.register_unstructure_hook_func(lambda target: target is Task, _with_tag("kind", made))
    made.register_structure_hook(AnyMethod, _tagged(registered(), made, optional=False))
    made.register_unstructure_hook(AnyMethod, _with_tag("name", made))
    return made


def _made_of(origin: Any) -> Callable[[Any], bool]:
    def predicate(kind: Any) -> bool:
        found: Any = get_origin(kind)
        return found is origin

    return predicate


def _of_kind(expected: type, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Check that a value is a mapping or a list before its items are structured: cattrs takes that for granted."""

    def structure(value: Any, target: Any) -> Any:
        if not isinstance(value, (list, tuple) if expected is list else expected):
            raise TypeError(f"expected {_NAMES[expected]}, but got {_shown(value)}")
        return inner(value, target)

    return structure


def _row(members: tuple[Any, ...], converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Tuples of the schema hold one type: any number (``tuple[int, ...]``), or as many as are written."""
    item, count = members[0], None if members[-1] is Ellipsis else len(members)

    def structure(value: Any, _: Any) -> Any:
        if count is not None and len(value) != count:
            raise ValueError(f"expected a list of {count}, but got {len(value)}: {brief(list(value))}")
        return tuple(converter.structure(value, list[item]))  # type: ignore[valid-type]

    return structure


def _one_of(choices: tuple[Any, ...]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(map(str, choices))}, but got {brief(value)}")
        return value

    return structure


def _strictly(expected: type) -> Callable[[Any, type], Any]:
    """A plain value must be of its type already: no "5" for 5, no 1 for true."""

    def structure(value: Any, _: type) -> Any:
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"expected a finite number, but got {value}")
        if type(value) is not expected:
            hint = " (write 1.0e-3, not 1e-3: YAML)" if expected is float and isinstance(value, str) else ""
            raise TypeError(f"expected {_NAMES[expected]}, but got {_shown(value)}{hint}")
        return value

    return structure


def _tagged(members: Mapping[str, type], converter: cattrs.Converter, *, optional: bool) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if optional and value is None:
            return None
        if not isinstance(value, dict):
            raise TypeError(f"expected a mapping with `kind`, but got {_shown(value)}")
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in members:
            got = "none" if kind is None else brief(kind)
            raise ValueError(f"expected `kind` to be one of {', '.join(members)}, but got {got}")
        return converter.structure({key: item for key, item in value.items() if key != "kind"}, members[kind])

    return structure


def _with_tag(tag: str, converter: cattrs.Converter) -> Callable[[Any], Any]:
    def unstructure(value: Any) -> Any:
        return None if value is None else {"kind": getattr(value, tag), **converter.unstructure(value, type(value))}

    return unstructure


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of YAML."""
    if value is None:
        return "nothing"
    return _NAMES.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    return kind_of(value) if value is None else f"{kind_of(value)} {brief(value)}"


def mistakes(error: BaseException, path: str) -> Iterator[str]:
    """Walk cattrs's nested groups and name each mistake by its path."""
    if isinstance(error, ClassValidationError):
        noted, whole = error.group_exceptions()
        for inner, note in noted:
            yield from mistakes(inner, f"{path}.{note.name}" if path else note.name)
        for inner in whole:
            yield from mistakes(inner, path)
    elif isinstance(error, IterableValidationError):
        noted_items, whole = error.group_exceptions()
        for inner, item in noted_items:
            yield from mistakes(inner, f"{path}.{item.index}")
        for inner in whole:
            yield from mistakes(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [item.name for item in dataclasses.fields(error.cl)]
        for name in sorted(error.extra_fields, key=str):
            yield f"{_join(path, name)}: unknown key. Known here: {', '.join(known)}"
    elif isinstance(error, KeyError):
        yield f"{path}: expected a value, but it is missing"
    elif isinstance(error, ValueError | TypeError):
        yield f"{path or 'config'}: {error}"
    else:
        raise error


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
