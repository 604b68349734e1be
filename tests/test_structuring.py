"""Plain data into dataclasses: strictly, and every mistake is named by its path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from stencilnet.structuring import MismatchError, StructureError, UnknownKeysError, strict_converter, structured


@dataclass(frozen=True, kw_only=True)
class Part:
    size: int
    share: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str
    parts: tuple[Part, ...]
    sizes: Mapping[str, float]
    form: Literal["a", "b"] = "a"
    note: str | None = None
    done: bool = False

    def __post_init__(self) -> None:
        if self.name == "wrong":
            raise ValueError("the name is wrong")


GOOD: dict[str, Any] = {"name": "x", "parts": [{"size": 1}, {"size": 2, "share": 1}], "sizes": {"one": 1, "two": 2.5}}


def problems(data: object, *, complete: bool = False) -> dict[str, Exception]:
    with pytest.raises(StructureError) as caught:
        structured(data, Whole, strict_converter(complete=complete))
    return dict(caught.value.mistakes)


def test_data_become_dataclasses() -> None:
    assert structured(GOOD, Whole, strict_converter()) == Whole(
        name="x", parts=(Part(size=1), Part(size=2, share=1.0)), sizes={"one": 1.0, "two": 2.5}
    )


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"name": 5}, "name", str),
        ({"name": None}, "name", str),
        ({"parts": {"size": 1}}, "parts", list),
        ({"parts": "ab"}, "parts", list),
        ({"parts": [1]}, "parts.0", dict),
        ({"parts": [{"size": 1}, {"size": 1.0}]}, "parts.1.size", int),
        ({"parts": [{"size": True}]}, "parts.0.size", int),
        ({"parts": [{"size": 1, "share": "0.5"}]}, "parts.0.share", float),
        ({"sizes": []}, "sizes", dict),
        ({"sizes": {"one": None}}, "sizes.one", float),
        ({"note": 1}, "note", str),
        ({"done": 0}, "done", bool),
    ],
)
def test_a_value_of_another_type_is_named(change: dict[str, Any], path: str, expected: type) -> None:
    ((place, mistake),) = problems({**GOOD, **change}).items()
    assert place == path
    assert isinstance(mistake, MismatchError)
    assert mistake.expected is expected


def test_every_mistake_is_found() -> None:
    found = problems({"name": 1, "parts": [{"size": "1", "colour": 2, 3: 4}], "form": "c"})
    assert set(found) == {"name", "parts.0.size", "parts.0", "form", "sizes"}
    unknown = found["parts.0"]
    assert isinstance(unknown, UnknownKeysError)
    assert (unknown.names, unknown.known) == (["3", "colour"], ["size", "share"])
    assert isinstance(found["sizes"], KeyError)


def test_a_number_has_to_be_finite() -> None:
    assert (
        str(problems({**GOOD, "sizes": {"one": float("nan")}})["sizes.one"]) == "expected a finite number, but got nan"
    )


def test_what_a_class_refuses_is_at_its_path() -> None:
    assert str(problems({**GOOD, "name": "wrong"})[""]) == "the name is wrong"


def test_complete_data_leave_out_nothing_but_what_may_be_none() -> None:
    found = problems(GOOD, complete=True)
    assert set(found) == {"parts.0.share", "form", "done"}
    full = {**GOOD, "parts": [], "form": "b", "done": True}
    assert structured(full, Whole, strict_converter(complete=True)).note is None


def test_the_message_holds_all() -> None:
    with pytest.raises(ValueError, match=r"name: expected text, but got a whole number 1; done: expected"):
        structured({**GOOD, "name": 1, "done": "no"}, Whole, strict_converter())


HUGE = 10**400
"""A whole number that is too large for a float."""


@pytest.mark.parametrize(
    ("change", "path"), [({"sizes": {"one": HUGE}}, "sizes.one"), ({"parts": [{"size": -HUGE}]}, "parts.0.size")]
)
def test_a_number_that_no_float_can_hold_is_named(change: dict[str, Any], path: str) -> None:
    ((place, mistake),) = problems({**GOOD, **change}).items()
    assert place == path
    assert str(mistake).startswith("expected a number between -1.8e+308 and 1.8e+308, but got ")
    assert len(str(mistake)) < 200
