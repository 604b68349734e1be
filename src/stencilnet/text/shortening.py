"""Keeps messages short, whatever the content of the file they refer to."""

from collections.abc import Iterable
from itertools import islice
from reprlib import Repr

MOST = 400
"""Most characters of a value in a message."""

_NAMES = 20
"""Most names of a list in a message."""


def shorten(text: str, most: int = MOST) -> str:
    """Return a text unchanged if it is short, else its beginning, its end and its length.

    Args:
        text: The text.
        most: Most characters to keep, at least 4.
    """
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} ... {text[-end:]} ({len(text):,} characters)"


def brief(value: object, most: int = MOST) -> str:
    """Return a value's `repr`, shortened; of a long string or list, only the shown part is formatted.

    Args:
        value: Any value, such as parsed JSON or YAML.
        most: Most characters to keep, at least 4.
    """
    form = Repr()
    form.maxlevel = 3
    form.maxdict = form.maxlist = form.maxtuple = form.maxset = form.maxfrozenset = _NAMES
    form.maxstring = form.maxlong = most
    form.maxother = most
    return shorten(form.repr(value), most)


def listed(names: Iterable[str], most: int = _NAMES) -> str:
    """Return names separated by commas, each shortened; of many, the first and the number of the others.

    Args:
        names: The names.
        most: Most names to list, at least 1.
    """
    rest = iter(names)
    shown = [shorten(name, MOST // 4) for name in islice(rest, most)]
    more = sum(1 for _ in rest)
    return ", ".join([*shown, *([f"and {more:,} more"] if more else [])])
