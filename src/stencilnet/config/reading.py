"""Reads a config file (YAML, or a run's JSON), applies overrides and checks it; reports all mistakes, with paths."""

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from stencilnet.config.converting import make_converter, mistakes
from stencilnet.config.schema import Experiment
from stencilnet.config.shipped import shipped
from stencilnet.errors import UsageError
from stencilnet.methods import registered
from stencilnet.structuring import StructureError, name_of, structured
from stencilnet.tasks.catalog import task_kinds
from stencilnet.text.shortening import shorten
from stencilnet.text.strict_json import loads

_MISTAKES = 50
"""Maximum number of mistakes that a message lists."""

_LONGEST = 2000
"""Maximum length of one mistake, in characters."""


class ConfigError(UsageError):
    """A config that cannot be run; the message lists its mistakes, at most the first 50.

    Attributes:
        problems: Messages of all mistakes.
    """

    def __init__(self, source: str, problems: Sequence[str], hint: str = "") -> None:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        hints = [hint] if hint else []
        shown = [shorten(problem, _LONGEST) for problem in problems[:_MISTAKES]]
        more = [f"and {len(problems) - _MISTAKES:,} more"] if len(problems) > _MISTAKES else []
        super().__init__("\n".join([f"{source}: {count}", *(f"  {line}" for line in [*shown, *more]), *hints]))
        self.problems = tuple(problems)


def read_config(source: str, overrides: Iterable[str] = ()) -> Experiment:
    """Read a config.

    Args:
        source: A file, or the name of a shipped config.
        overrides: ``dotted.path=value`` settings that override the file's. A list item is addressed by its index, or
            by its name.

    Raises:
        ConfigError: If the file cannot be read or has mistakes; the message lists all of them.
    """
    raw = _read_yaml(source)
    for override in overrides:
        _lay_over(raw, override, source)
    return from_plain(raw, source)


def from_plain(raw: dict[str, Any], source: str) -> Experiment:
    """Return the config that plain YAML/JSON data describe; settings that are missing have their defaults.

    Args:
        raw: The data; defaults of recipes are filled in.
        source: Its name in messages.

    Raises:
        ConfigError: If it has mistakes; the message lists all of them.
    """
    _fill_recipes(raw)
    try:
        return structured(raw, Experiment, make_converter())
    except StructureError as error:
        raise ConfigError(source, list(mistakes(error))) from None


def to_plain(experiment: Experiment) -> dict[str, Any]:
    """Return a config as plain YAML/JSON data with all defaults; reading it back gives an equal config."""
    plain: dict[str, Any] = make_converter().unstructure(experiment)
    return plain


def to_yaml(experiment: Experiment, *, ascii_only: bool = False) -> str:
    """Return a config as YAML with all defaults; with `ascii_only`, other characters are escaped."""
    plain = _listed(to_plain(experiment))
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=not ascii_only, width=110)
    return text


def check_names(source: str, experiment: Experiment, *, methods: Sequence[str] = (), only: Sequence[str] = ()) -> None:
    """Check that a config has the methods and tasks of these names.

    Raises:
        ConfigError: If it lacks any; the message lists all of them.
    """
    known = [plan.name for plan in experiment.methods]
    tasks = [plan.name for plan in experiment.tasks]
    problems = [
        f"--methods: unknown method {name!r}. Known: {', '.join(dict.fromkeys([*known, *registered()]))}"
        for name in methods
        if name not in known
    ]
    problems += [
        f"--only: unknown task {name!r}. The config has {', '.join(tasks)}" for name in only if name not in tasks
    ]
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
        raise ConfigError(source, [f"expected a file or a shipped config, but none has this name. {hint}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or error) if isinstance(error, OSError) else f"it is not UTF-8 text: {error}"
        raise ConfigError(source, [f"cannot be read: {why}"]) from None
    form, parse = ("JSON", loads) if path.suffix == ".json" else ("YAML", _parsed)
    try:
        raw = parse(text)
    except ValueError as error:
        raise ConfigError(source, [f"is not {form}: {error}"]) from None
    if not isinstance(raw, dict):
        raise ConfigError(source, [f"expected a mapping at the top, but got {name_of(raw)}"])
    return raw


def _parsed(text: str) -> Any:
    """Return the value of YAML text.

    Raises:
        ValueError: If it is not YAML, holds a date that does not exist, or is nested too deeply.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


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
        raise ConfigError(source, [f"--set {override}: cannot replace a whole list item. Set its fields"])
    if not isinstance(place, dict):
        raise ConfigError(source, [f"--set {override}: `{keys[-1]}` is below a plain value"])
    try:
        place[keys[-1]] = _parsed(value)
    except ValueError as error:
        raise ConfigError(source, [f"--set {override}: the value is not YAML: {error}"]) from None


def _item(items: list[Any], key: str, override: str, source: str) -> Any:
    for position, item in enumerate(items):
        if key == str(position) or (isinstance(item, dict) and item.get("name") == key):
            return item
    raise ConfigError(source, [f"--set {override}: no item `{key}` in a list of {len(items)}"])


def _fill_recipes(raw: dict[str, Any]) -> None:
    """Fill in each task's recipe from the default recipe of its kind."""
    plans = raw.get("tasks")
    for plan in plans if isinstance(plans, list) else []:
        if not isinstance(plan, dict) or not isinstance(plan.get("task"), dict):
            continue
        kind = plan["task"].get("kind")
        recipe = plan.get("recipe", {})
        if isinstance(kind, str) and kind in task_kinds() and isinstance(recipe, dict):
            plan["recipe"] = {**dataclasses.asdict(task_kinds()[kind].recipe()), **recipe}
