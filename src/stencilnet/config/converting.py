"""Converts plain YAML data to the dataclasses of a config, and words the mistakes."""

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import cattrs

from stencilnet.data.damage import Damage
from stencilnet.data.sources import Source
from stencilnet.methods import AnyMethod, registered
from stencilnet.structuring import MismatchError, StructureError, UnknownKeysError, shown, strict_converter
from stencilnet.tasks.catalog import task_kinds
from stencilnet.tasks.task import Task
from stencilnet.text.shortening import brief


def make_converter() -> cattrs.Converter:
    """Return the converter between plain data and configs, for both directions."""
    made = strict_converter()
    for union, tag in (
        (Source, "kind"),
        (Source | None, "kind"),
        (Damage | None, "kind"),
    ):
        members = {getattr(member, tag): member for member in get_args(union) if member is not types.NoneType}
        made.register_structure_hook(union, _tagged(members, made, optional=types.NoneType in get_args(union)))
        made.register_unstructure_hook(union, _with_tag(tag, made))
    made.register_structure_hook_func(lambda target: target is Task, _tagged(task_kinds(), made, optional=False))
    made.register_unstructure_hook_func(lambda target: target is Task, _with_tag("kind", made))
    made.register_structure_hook(AnyMethod, _tagged(registered(), made, optional=False))
    made.register_unstructure_hook(AnyMethod, _with_tag("name", made))
    return made


def _tagged(members: Mapping[str, type], converter: cattrs.Converter, *, optional: bool) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if optional and value is None:
            return None
        if not isinstance(value, dict):
            raise TypeError(f"expected a mapping with `kind`, but got {shown(value)}")
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


def mistakes(error: StructureError) -> Iterator[str]:
    """Yield a message for each mistake of a config, starting with its path."""
    for path, mistake in error.mistakes:
        if isinstance(mistake, UnknownKeysError):
            for name in mistake.names:
                yield f"{_join(path, name)}: unknown key. Known here: {', '.join(mistake.known)}"
        elif isinstance(mistake, KeyError):
            yield f"{path}: expected a value, but it is missing"
        else:
            yield f"{path or 'config'}: {mistake}{_hint(mistake)}"


def _hint(mistake: Exception) -> str:
    match mistake:
        case MismatchError(expected=kind, value=str()) if kind is float:
            return " (write 1.0e-3, not 1e-3: YAML)"
    return ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
