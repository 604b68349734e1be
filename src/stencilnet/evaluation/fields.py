"""Reads a JSON object field by field, with errors that name the file and the place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from stencilnet.text.shortening import brief, listed, shorten
from stencilnet.text.strict_json import WORDS

T = TypeVar("T", str, bool, int, float, dict[str, Any], list[Any])

_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


class ResultError(ValueError):
    """A result file that cannot be read. Its text is short, whatever the file holds."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, 1000))


class Fields:
    """One JSON object of a file.

    Args:
        data: The parsed value.
        file: Where it is from.
        place: Its path inside the file.

    Raises:
        ResultError: If it is not an object.
    """

    def __init__(self, data: object, file: Path, place: str = "") -> None:
        self._file, self._place = file, place
        if not isinstance(data, dict):
            raise _error(file, place or "the file", "an object", data)
        self.data: Mapping[str, Any] = data

    def take(self, key: str, kind: type[T]) -> T:
        """Return a field of exactly this type; a float may be written as a whole number.

        Raises:
            ResultError: If it is missing or of another type.
        """
        value = self.data.get(key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return kind(value)
        if kind is float and isinstance(value, str) and value in WORDS:
            return kind(value)
        if type(value) is not kind:
            raise self.error(key, _NAMES[kind], value)
        return value

    def take_or_none(self, key: str, kind: type[T]) -> T | None:
        """Return a field of this type, or None where the file says null or nothing."""
        return None if self.data.get(key) is None else self.take(key, kind)

    def inside(self, key: str) -> "Fields":
        """Return the object under a key."""
        return Fields(self.data.get(key), self._file, self._at(key))

    def each(self, key: str) -> "list[Fields]":
        """Return the objects in the list under a key."""
        items = self.take(key, list)
        return [Fields(item, self._file, f"{self._at(key)}.{index}") for index, item in enumerate(items)]

    def table(self, kind: type[T]) -> dict[str, T]:
        """Return the whole object as a mapping to values of one type."""
        return {key: self.take(key, kind) for key in self.data}

    def known(self, *keys: str) -> None:
        """Refuse other keys.

        Raises:
            ResultError: If there are any, naming them.
        """
        if unknown := sorted(self.data.keys() - set(keys)):
            where = f" in `{self._place}`" if self._place else ""
            raise ResultError(f"{self._file} has unknown fields{where}: {listed(unknown)}. Is it a newer version's?")

    def error(self, key: str, expected: str, value: object) -> ResultError:
        """Return the error for a value of the wrong type."""
        return _error(self._file, self._at(key), expected, value)

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key


def _error(file: Path, place: str, expected: str, value: object) -> ResultError:
    got = "nothing" if value is None else f"{type(value).__name__} {brief(value, 80)}"
    return ResultError(
        f"Expected `{shorten(place)}` of {file} to be {expected}, but got {got}. "
        "Is it another program's file? Delete it, and the stage is done again when the run is resumed."
    )
