"""Adds a member to a mapping without reading what the mapping loads lazily."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")


class Grown(Mapping[str, V], Generic[V]):
    """A mapping that may load lazily, followed by members added to it.

    Args:
        base: The mapping, which no longer changes.
        added: The added members; none may have a name of the base's.
    """

    def __init__(self, base: Mapping[str, V], added: Mapping[str, V]) -> None:
        self.base = base
        self.added = added

    def __getitem__(self, name: str) -> V:
        return self.added[name] if name in self.added else self.base[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.base
        yield from self.added

    def __len__(self) -> int:
        return len(self.base) + len(self.added)

    def __contains__(self, name: object) -> bool:
        return name in self.added or name in self.base


def grown(mapping: Mapping[str, V], name: str, value: V) -> Mapping[str, V]:
    """Return the mapping with one more member at its end; what it loads lazily stays unread."""
    if isinstance(mapping, Grown):
        return Grown(mapping.base, {**mapping.added, name: value})
    return Grown(mapping, {name: value})
