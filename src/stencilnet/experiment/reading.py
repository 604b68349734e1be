"""Reads a config file: YAML, overrides, the schema. All mistakes are reported at once, each with its path."""

import dataclasses
import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import cattrs
import yaml
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from stencilnet.data.sources import Source, split
from stencilnet.experiment.config import AnyMethod, Experiment, Kind, TaskPlan, shipped, sources
from stencilnet.tasks.catalog import KINDS
from stencilnet.tasks.style import StyleTransfer
from stencilnet.tasks.vgg import vgg


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
    """Find all that a config needs and cannot have, before anything is trained.

    Opens every data set, splits off what is held out, reads the style images and loads VGG where styles look through it
    (which fetches its weights, if the config says ``download``).

    Raises:
        ConfigError: If any of it cannot be had; all of it is listed.
    """
    problems = []
    for position, plan in enumerate(experiment.tasks):
        problems += [f"tasks.{position}.{problem}" for problem in _missing(plan, root)]
    presets = [plan.task.preset for plan in experiment.tasks if isinstance(plan.task, StyleTransfer)]
    if presets and experiment.perceptual.source == "vgg":
        try:
            vgg(presets[0], experiment.perceptual.weights)
        except (ValueError, OSError) as error:
            problems.append(f"perceptual.weights: {error}")
    if problems:
        raise ConfigError(source, problems)


def _missing(plan: TaskPlan, root: Path) -> Iterator[str]:
    from stencilnet.experiment.styles import style_image  # here, because reading a config needs none of its imports

    for key, data in sources(plan).items():
        try:
            examples = data.open(root)
        except (ValueError, OSError) as error:
            yield f"data.{key}: {error}"
            continue
        if key == "train" and plan.data.validation is None:
            try:
                split(examples, plan.data.holdout)
            except ValueError as error:
                yield f"data.holdout: {error}"
    if isinstance(plan.task, StyleTransfer):
        try:
            style_image(plan.task, root)
        except (ValueError, OSError) as error:
            yield f"task.style: {error}"


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
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-01
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
    except (yaml.YAMLError, ValueError) as error:
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
        if isinstance(kind, str) and kind in KINDS and isinstance(recipe, dict):
            plan["recipe"] = {**dataclasses.asdict(KINDS[kind].recipe()), **recipe}


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for plain in (bool, int, float, str):
        converter.register_structure_hook(plain, _strictly(plain))
    converter.register_structure_hook_factory(
        dataclasses.is_dataclass, lambda section: _of_kind(dict, converter.gen_structure_attrs_fromdict(section))
    )
    converter.register_structure_hook_factory(
        _made_of(dict), lambda kind: _of_kind(dict, converter.gen_structure_mapping(kind))
    )
    converter.register_structure_hook_factory(
        _made_of(tuple), lambda kind: _of_kind(list, _row(get_args(kind), converter))
    )
    converter.register_structure_hook_factory(_made_of(Literal), lambda kind: _one_of(get_args(kind)))
    for union, tag in ((Kind, "kind"), (Source, "kind"), (Source | None, "kind"), (AnyMethod, "name")):
        members = {getattr(member, tag): member for member in get_args(union) if member is not types.NoneType}
        converter.register_structure_hook(
            union, _tagged(members, converter, optional=types.NoneType in get_args(union))
        )
        converter.register_unstructure_hook(union, _with_tag(tag, converter))
    return converter


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
            raise ValueError(f"expected a list of {count}, but got {len(value)}: {list(value)!r}")
        return tuple(converter.structure(value, list[item]))  # type: ignore[valid-type]

    return structure


def _one_of(choices: tuple[Any, ...]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(map(str, choices))}, but got {value!r}")
        return value

    return structure


def _strictly(expected: type) -> Callable[[Any, type], Any]:
    """A plain value must be of its type already: no "5" for 5, no 1 for true."""

    def structure(value: Any, _: type) -> Any:
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
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
            got = "none" if kind is None else repr(kind)
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


def _kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    return _NAMES.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    return _kind_of(value) if value is None else f"{_kind_of(value)} {value!r}"


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
