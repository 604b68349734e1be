"""Converts plain data (parsed JSON or YAML) into dataclasses, strictly; each mistake is reported with its path."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, Literal, TypeVar, get_args, get_origin

import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from stencilnet.text.fields import FieldError
from stencilnet.text.shortening import brief, listed

T = TypeVar("T")

NAMES: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}
"""Names of types in messages."""


class MismatchError(TypeError):
    """A value whose type is not its field's.

    Attributes:
        expected: The field's type, a key of `NAMES`.
        value: The value; None also if it is missing.
    """

    def __init__(self, expected: type, value: object) -> None:
        super().__init__(f"expected {NAMES[expected]}, but got {shown(value)}")
        self.expected = expected
        self.value = value


class UnknownKeysError(ValueError):
    """Keys for which a dataclass has no field.

    Attributes:
        names: The keys, sorted.
        known: Names of the fields.
    """

    def __init__(self, names: list[str], known: list[str]) -> None:
        super().__init__(f"unknown keys: {listed(names)}. Known here: {', '.join(known)}")
        self.names = names
        self.known = known


class StructureError(ValueError):
    """Plain data that do not fit a dataclass.

    Attributes:
        mistakes: All mistakes, each as its path and the error there.
    """

    def __init__(self, mistakes: list[tuple[str, Exception]]) -> None:
        super().__init__("; ".join(f"{path or 'the data'}: {error}" for path, error in mistakes))
        self.mistakes = mistakes


def strict_converter(*, complete: bool = False) -> cattrs.Converter:
    """Return a converter between plain data and dataclasses that never converts a value to another type.

    Args:
        complete: Whether fields with a default are required too; fields that may be None can be left out.
    """
    made = cattrs.Converter(forbid_extra_keys=True)
    for plain in (bool, int, float, str):
        made.register_structure_hook(plain, _strictly(plain))

    def section(kind: Any) -> Callable[[Any, Any], Any]:
        inner = made.gen_structure_attrs_fromdict(kind)
        return _of_kind(dict, _with_all_fields(kind, inner) if complete else inner)

    made.register_structure_hook_factory(dataclasses.is_dataclass, section)
    for mapping in (dict, Mapping):
        made.register_structure_hook_factory(
            _made_of(mapping), lambda kind: _of_kind(dict, made.gen_structure_mapping(kind))
        )
    made.register_structure_hook_factory(_made_of(tuple), lambda kind: _of_kind(list, _row(get_args(kind), made)))
    made.register_structure_hook_factory(_made_of(Literal), lambda kind: _one_of(get_args(kind)))
    return made


def structured(data: object, kind: type[T], converter: cattrs.Converter) -> T:
    """Return plain data as a dataclass.

    Args:
        data: The data.
        kind: The dataclass.
        converter: One of `strict_converter`.

    Raises:
        StructureError: If the data do not fit; it holds every mistake.
    """
    try:
        return converter.structure(data, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError) as error:
        raise StructureError(list(_mistakes(error, ""))) from None


def as_float(number: float) -> float:
    """Return a number as a float.

    Raises:
        ValueError: If it is an integer that no float can hold.
    """
    try:
        return float(number)
    except OverflowError:
        raise ValueError(f"expected a number between -1.8e+308 and 1.8e+308, but got {brief(number, 80)}") from None


def name_of(value: object) -> str:
    """Return the name of a value's type for messages."""
    if value is None:
        return "nothing"
    return NAMES.get(type(value), type(value).__name__)


def shown(value: object) -> str:
    """Return the name of a value's type and the value, shortened."""
    return name_of(value) if value is None else f"{name_of(value)} {brief(value)}"


def _made_of(origin: Any) -> Callable[[Any], bool]:
    def predicate(kind: Any) -> bool:
        found: Any = get_origin(kind)
        return found is origin

    return predicate


def _of_kind(expected: type, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Check that a value is a mapping or a list before its items are structured, which cattrs assumes."""

    def structure(value: Any, target: Any) -> Any:
        if not isinstance(value, (list, tuple) if expected is list else expected):
            raise MismatchError(expected, value)
        return inner(value, target)

    return structure


def _with_all_fields(kind: Any, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Treat a missing field as None, which is refused unless the field may be None."""
    absent = dict.fromkeys(_fields(kind))
    return lambda value, target: inner({**absent, **value}, target)


def _fields(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _row(members: tuple[Any, ...], converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Structure a tuple of one item type, of any length (``tuple[int, ...]``) or of the annotated length."""
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
    """Require that a plain value already has its type: no "5" for 5, no 1 for true."""

    def structure(value: Any, _: type) -> Any:
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"expected a finite number, but got {value}")
        if isinstance(value, int) and not isinstance(value, bool):
            number = as_float(value)  # of an integer, too: sizes and counts are divided later
            if expected is float:
                return number
        if type(value) is not expected:
            raise MismatchError(expected, value)
        return value

    return structure


def _below(path: str, field: str) -> str:
    return ".".join(filter(None, (path, field)))


def _mistakes(error: BaseException, path: str) -> Iterator[tuple[str, Exception]]:
    """Walk cattrs's nested error groups and yield each mistake with its path."""
    if isinstance(error, ClassValidationError):
        noted, whole = error.group_exceptions()
        for inner, note in noted:
            yield from _mistakes(inner, _below(path, note.name))
        for inner in whole:
            yield from _mistakes(inner, path)
    elif isinstance(error, IterableValidationError):
        noted_items, whole = error.group_exceptions()
        for inner, item in noted_items:
            yield from _mistakes(inner, f"{path}.{item.index}")
        for inner in whole:
            yield from _mistakes(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        yield path, UnknownKeysError(sorted(map(str, error.extra_fields)), _fields(error.cl))
    elif isinstance(error, FieldError):
        for field, message in error.problems:
            yield _below(path, field), ValueError(message)
    elif isinstance(error, KeyError | ValueError | TypeError):
        yield path, error
    else:
        raise error
