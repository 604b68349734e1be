"""Reads a config file: YAML, overrides, the schema. All mistakes are reported at once, each with its path."""

import dataclasses
import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import cattrs
import yaml
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from stencilnet.data.sources import Source
from stencilnet.experiment.config import AnyMethod, Experiment, Kind, shipped, sources
from stencilnet.tasks.catalog import KINDS


class ConfigError(ValueError):
    """A config that cannot be run; the message lists every mistake."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {problem}" for problem in problems)]))
        self.problems = tuple(problems)


def read_config(source: str, overrides: Iterable[str] = ()) -> Experiment:
    """Read a config.

    Args:
        source: A file, or the name of a shipped config.
        overrides: ``dotted.path=value`` pairs laid over the file; list items by index, tasks also by name.

    Raises:
        ConfigError: If the file cannot be read or has mistakes; all of them are listed.
    """
    raw = _read_yaml(source)
    for override in overrides:
        _lay_over(raw, override, source)
    _fill_recipes(raw)
    try:
        return _converter().structure(raw, Experiment)
    except (cattrs.BaseValidationError, ValueError, TypeError) as error:
        raise ConfigError(source, list(_problems(error, ""))) from None


def check_paths(source: str, experiment: Experiment, root: Path) -> None:
    """Open every data set of a config, so that all wrong paths are known before anything is trained.

    Raises:
        ConfigError: If any cannot be opened; all of them are listed.
    """
    problems = []
    for position, plan in enumerate(experiment.tasks):
        for key, data in sources(plan).items():
            try:
                data.open(root)
            except (ValueError, OSError) as error:
                problems.append(f"tasks.{position}.data.{key}: {error}")
    if problems:
        raise ConfigError(source, problems)


def to_plain(experiment: Experiment) -> dict[str, Any]:
    """Return a config as plain YAML/JSON data, defaults written out; reading it back gives an equal config."""
    plain: dict[str, Any] = _converter().unstructure(experiment)
    return plain


def to_yaml(experiment: Experiment) -> str:
    """Return a config as YAML, defaults written out."""
    text: str = yaml.safe_dump(_listed(to_plain(experiment)), sort_keys=False, allow_unicode=True, width=110)
    return text


def check_names(source: str, experiment: Experiment, *, methods: Sequence[str] = (), only: Sequence[str] = ()) -> None:
    """Refuse names of methods and tasks that a config does not have.

    Raises:
        ConfigError: If there are any; all of them are listed.
    """
    known = [plan.method.name for plan in experiment.methods]
    tasks = [plan.name for plan in experiment.tasks]
    problems = [f"--methods: no {name!r}; the config has {', '.join(known)}" for name in methods if name not in known]
    problems += [f"--only: no task {name!r}; the config has {', '.join(tasks)}" for name in only if name not in tasks]
    if problems:
        raise ConfigError(source, problems)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def _read_yaml(source: str) -> dict[str, Any]:
    path = shipped().get(source, Path(source))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        names = list(shipped())
        close = difflib.get_close_matches(source, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Shipped configs: {', '.join(names)}."
        raise ConfigError(
            source, [f"expected a file or a shipped config, but there is none of that name. {hint}"]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(source, [f"cannot be read: {error}"]) from None
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(source, [f"is not YAML: {error}"]) from None
    if not isinstance(raw, dict):
        raise ConfigError(source, [f"expected a mapping at the top, but got {_kind_of(raw)}"])
    return raw


def _lay_over(raw: dict[str, Any], override: str, source: str) -> None:
    path, equals, value = override.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise ConfigError(source, [f"--set {override}: expected dotted.path=value"])
    place: Any = raw
    for key in keys[:-1]:
        if isinstance(place, list):
            place = _item(place, key, override, source)
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            raise ConfigError(source, [f"--set {override}: `{key}` is below a plain value"])
    if isinstance(place, list):
        raise ConfigError(source, [f"--set {override}: a list item is replaced by its fields only"])
    if not isinstance(place, dict):
        raise ConfigError(source, [f"--set {override}: `{keys[-1]}` is below a plain value"])
    try:
        place[keys[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(source, [f"--set {override}: the value is not YAML: {error}"]) from None


def _item(items: list[Any], key: str, override: str, source: str) -> Any:
    for position, item in enumerate(items):
        if key == str(position) or (isinstance(item, dict) and item.get("name") == key):
            return item
    raise ConfigError(source, [f"--set {override}: no item `{key}`; there are {len(items)}"])


def _fill_recipes(raw: dict[str, Any]) -> None:
    """Lay each task's recipe over its kind's default one."""
    plans = raw.get("tasks")
    for plan in plans if isinstance(plans, list) else []:
        if not isinstance(plan, dict) or not isinstance(plan.get("task"), dict):
            continue
        kind = plan["task"].get("kind")
        recipe = plan.get("recipe", {})
        if kind in KINDS and isinstance(recipe, dict):
            plan["recipe"] = {**dataclasses.asdict(KINDS[kind].recipe()), **recipe}


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for plain in (bool, int, float, str):
        converter.register_structure_hook(plain, _strictly(plain))
    for union, tag in ((Kind, "kind"), (Source, "kind"), (Source | None, "kind"), (AnyMethod, "name")):
        members = {getattr(member, tag): member for member in get_args(union) if member is not types.NoneType}
        converter.register_structure_hook(
            union, _tagged(members, converter, optional=types.NoneType in get_args(union))
        )
        converter.register_unstructure_hook(union, _with_tag(tag, converter))
    return converter


def _strictly(expected: type) -> Callable[[Any, type], Any]:
    """A plain value must be of its type already: no "5" for 5, no 1 for true."""

    def structure(value: Any, _: type) -> Any:
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not expected:
            hint = " (write 1.0e-3, not 1e-3: YAML)" if expected is float and isinstance(value, str) else ""
            raise TypeError(f"expected {_NAMES[expected]}, but got {_kind_of(value)} {value!r}{hint}")
        return value

    return structure


def _tagged(members: Mapping[str, type], converter: cattrs.Converter, *, optional: bool) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if optional and value is None:
            return None
        if not isinstance(value, dict):
            raise TypeError(f"expected a mapping with `kind`, but got {_kind_of(value)} {value!r}")
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in members:
            got = "none" if kind is None else repr(kind)
            raise ValueError(f"expected `kind` to be one of {', '.join(members)}, but got {got}")
        return converter.structure({key: item for key, item in value.items() if key != "kind"}, members[kind])

    return structure


def _with_tag(tag: str, converter: cattrs.Converter) -> Callable[[Any], Any]:
    def unstructure(value: Any) -> Any:
        return None if value is None else {"kind": getattr(value, tag), **converter.unstructure(value, type(value))}

    return unstructure


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    named = {**_NAMES, list: "a list", dict: "a mapping"}
    return named.get(type(value), type(value).__name__)


def _problems(error: BaseException, path: str) -> Iterator[str]:
    """Walk cattrs's nested groups and name each mistake by its path."""
    if isinstance(error, ClassValidationError):
        noted, whole = error.group_exceptions()
        for inner, note in noted:
            yield from _problems(inner, f"{path}.{note.name}" if path else note.name)
        for inner in whole:
            yield from _problems(inner, path)
    elif isinstance(error, IterableValidationError):
        noted_items, whole = error.group_exceptions()
        for inner, item in noted_items:
            yield from _problems(inner, f"{path}.{item.index}")
        for inner in whole:
            yield from _problems(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [item.name for item in dataclasses.fields(error.cl)]
        for name in sorted(error.extra_fields):
            yield f"{_join(path, name)}: unknown key. Known here: {', '.join(known)}"
    elif isinstance(error, KeyError):
        yield f"{path}: expected a value, but it is missing"
    elif isinstance(error, ValueError | TypeError):
        yield f"{path or 'config'}: {error}"
    else:
        raise error


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
