"""A mapping grows without being read."""

from collections.abc import Iterator, Mapping

import pytest

from stencilnet.delta import grown


class Unread(Mapping[str, int]):
    """Knows its names; a member that is read fails the test."""

    def __getitem__(self, name: str) -> int:
        pytest.fail(f"{name} was read")

    def __iter__(self) -> Iterator[str]:
        return iter(("a", "b"))

    def __len__(self) -> int:
        return 2

    def __contains__(self, name: object) -> bool:
        return name in ("a", "b")


def test_it_is_the_mapping_and_one_more() -> None:
    base = {"a": 1, "b": 2}
    more = grown(base, "c", 3)
    assert more == {"a": 1, "b": 2, "c": 3}
    assert list(more) == ["a", "b", "c"]
    assert base == {"a": 1, "b": 2}
    with pytest.raises(KeyError):
        more["d"]


def test_an_older_one_stays_what_it_was_when_it_grows_on() -> None:
    more = grown({"a": 1}, "b", 2)
    left, right = grown(more, "c", 3), grown(more, "c", 4)
    assert (more, left, right) == ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 4})


def test_nothing_of_it_is_read() -> None:
    more = grown(grown(Unread(), "c", 3), "d", 4)
    assert (len(more), list(more), "a" in more, "x" in more, more["d"]) == (4, ["a", "b", "c", "d"], True, False, 4)


def test_it_may_grow_for_ever() -> None:
    more: Mapping[str, int] = {}
    for number in range(3000):
        more = grown(more, f"{number}", number)
    assert (more["0"], more["2999"], len(list(more))) == (0, 2999, 3000)
