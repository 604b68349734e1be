"""JSON in and out: a number that is not finite is written as one of the strings ``inf``, ``-inf`` and ``nan``."""

import json
from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any

WORDS: Mapping[str, float] = {"inf": inf, "-inf": -inf, "nan": nan}
"""The numbers that JSON has not, by the strings that stand for them."""


def json_data(value: Any) -> Any:
    """Return a copy of plain data that is JSON: words for numbers that are not finite, lists for tuples.

    Args:
        value: Numbers, strings, booleans, None, and lists, tuples and mappings of them; anything else comes through.
    """
    if isinstance(value, float) and not isfinite(value):
        return str(float(value))
    if isinstance(value, Mapping):
        return {key: json_data(item) for key, item in value.items()}
    return [json_data(item) for item in value] if isinstance(value, list | tuple) else value


def with_numbers(value: Any) -> Any:
    """Return a copy of JSON data with the numbers that `json_data` wrote as words: for metrics, which hold no words."""
    if isinstance(value, str):
        return WORDS.get(value, value)
    if isinstance(value, Mapping):
        return {key: with_numbers(item) for key, item in value.items()}
    return [with_numbers(item) for item in value] if isinstance(value, list | tuple) else value


def dumps(value: Any, *, indent: int | None = None, sort_keys: bool = False, ensure_ascii: bool = True) -> str:
    """Return plain data as JSON text; the options are those of `json.dumps`.

    Args:
        value: As for `json_data`.
        indent: Spaces a level; None for one line.
        sort_keys: Whether objects are sorted by their keys.
        ensure_ascii: Whether other characters than ASCII are escaped.

    Raises:
        TypeError: If a value is not plain data.
    """
    plain = json_data(value)
    return json.dumps(plain, indent=indent, sort_keys=sort_keys, ensure_ascii=ensure_ascii, allow_nan=False)


def loads(text: str | bytes) -> Any:
    """Return the value of JSON text.

    Args:
        text: The text; bytes of it are UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: If it is no text, no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
