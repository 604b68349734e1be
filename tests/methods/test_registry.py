"""What can be registered as a method, and that every built-in one can."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from stencilnet import methods
from stencilnet.evaluation.protocol import BACKBONE, TRIVIAL
from stencilnet.methods import BUILT_IN, Finetune, Method, Piggyback, registered
from stencilnet.methods.registry import RESERVED, check


def test_built_in_methods_come_first_by_their_names() -> None:
    assert [*registered().values()][: len(BUILT_IN)] == [*BUILT_IN]
    assert all(method.name == name for name, method in registered().items())


def test_every_built_in_method_is_exported() -> None:
    assert {method.__name__ for method in BUILT_IN} <= set(methods.__all__)


def test_names_of_other_things_in_a_run_folder_are_reserved() -> None:
    assert {BACKBONE, TRIVIAL, "all", "bundle", "pictures"} <= RESERVED
    assert RESERVED.isdisjoint(registered())


@dataclass(frozen=True, kw_only=True)
class Needing(Finetune):
    name: ClassVar[str] = "needing"
    rate: float


class Bare(Finetune):
    name: ClassVar[str] = "bare"
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Abstract(Method):
    name: ClassVar[str] = "abstract"
    title: ClassVar[str] = "abstract"


@dataclass(frozen=True, kw_only=True)
class Untitled(Finetune):
    name: ClassVar[str] = "untitled"
    title: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class Growing(Piggyback):
    name: ClassVar[str] = "growing"
    after_first: ClassVar[Any] = "retrain"


@dataclass(frozen=True, kw_only=True)
class Called(Finetune):
    """Its `trains_norms` is a method, which is always true."""

    name: ClassVar[str] = "called"

    def trains_norms(self) -> bool:  # type: ignore[override]
        return False


@dataclass(frozen=True, kw_only=True)
class Chained(Finetune):
    name: ClassVar[str] = "chained"

    def prerequisites(self, task: str, learned_before: tuple[str, ...]) -> tuple[str, ...]:
        return learned_before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("finetune", Finetune(), "expected a class that implements Method or JointMethod, but got Finetune"),
        ("finetune", int, "expected a class that implements Method or JointMethod, but got <class 'int'>"),
        ("abstract", Abstract, "expected a class that implements Method or JointMethod"),
        ("needing", Needing, "expected a dataclass whose fields all have defaults"),
        ("bare", Bare, "expected a dataclass whose fields all have defaults"),
        ("tuning", Finetune, "expected its `name` to be 'tuning' and to match .*, but got 'finetune'"),
        ("untitled", Untitled, "expected its `title` to be a name for tables, but it is empty"),
        ("growing", Growing, "expected `moves_shared` with `after_first` 'retrain', but it is false"),
        ("called", Called, "expected `trains_norms` and `mask_lr` to be properties"),
        ("chained", Chained, "expected no `prerequisites` with `moves_shared`"),
    ],
)
def test_what_is_no_method_is_refused(name: str, value: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check(name, value)
