"""Reads and writes JSON; numbers that are not finite are written as the strings ``inf``, ``-inf`` and ``nan``."""

import json
from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any

WORDS: Mapping[str, float] = {"inf": inf, "-inf": -inf, "nan": nan}
"""Numbers that JSON lacks, by the strings that represent them."""


def json_data(value: Any) -> Any:
    """Return a copy of plain data as JSON data: non-finite numbers become strings, and tuples become lists.

    Args:
        value: Numbers, strings, booleans, None, and lists, tuples and mappings of them; anything else is unchanged.
    """
    if isinstance(value, float) and not isfinite(value):
        return str(float(value))
    if isinstance(value, Mapping):
        return {key: json_data(item) for key, item in value.items()}
    return [json_data(item) for item in value] if isinstance(value, list | tuple) else value


def with_numbers(value: Any) -> Any:
    """Return a copy of JSON data with strings of `json_data` as numbers again: for metrics, which hold no strings."""
    if isinstance(value, str):
        return WORDS.get(value, value)
    if isinstance(value, Mapping):
        return {key: with_numbers(item) for key, item in value.items()}
    return [with_numbers(item) for item in value] if isinstance(value, list | tuple) else value


def dumps(value: Any, *, indent: int | None = None, sort_keys: bool = False, ensure_ascii: bool = True) -> str:
    """Return plain data as JSON text; the options are those of `json.dumps`.

    Args:
        value: As for `json_data`.
        indent: Spaces per level; None (default) for one line.
        sort_keys: Whether to sort objects by their keys.
        ensure_ascii: Whether to escape non-ASCII characters.

    Raises:
        TypeError: If a value is not plain data.
    """
    plain = json_data(value)
    return json.dumps(plain, indent=indent, sort_keys=sort_keys, ensure_ascii=ensure_ascii, allow_nan=False)


def loads(text: str | bytes) -> Any:
    """Return the value of JSON text.

    Args:
        text: The text, or its bytes in UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: If it is not text, not JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
