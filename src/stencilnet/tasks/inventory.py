"""What a task's examples must hold to be learned and measured: where nothing can be wrong, all scores are perfect."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from stencilnet.tasks.task import Example, Task


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What is looked for in a task's examples.

    Attributes:
        unit: What is counted, in the plural: ``labelled pixels``.
        things: What they may be of, as messages name it: the classes.
        named: Whether each thing matters by itself, and is missed where a part of the data lacks it.
        least: How many different things training needs: two where they exclude each other.
        enough: What training needs, in words.
        some: What any other part needs at least, in words.
        rest: What counts as none of the things, in words; empty where there is no such thing.
        remedy: What to do where too few are found.
    """

    unit: str
    things: tuple[str, ...]
    named: bool = False
    least: int = 1
    enough: str
    some: str
    rest: str = ""
    remedy: str


@runtime_checkable
class CountedTask(Task, Protocol):
    """A task whose examples may hold nothing to learn or to measure. Ask by ``isinstance``."""

    def inventory(self) -> Inventory:
        """Return what is looked for."""
        ...

    def count(self, example: Example) -> Tensor:
        """Return how many units of an example are of each thing, and of none of them last: ``(things + 1,)`` int64.

        The photo is not looked at where the example has a label or a category: it may be empty, ``(3, 0, 0)``.

        Raises:
            ValueError: If the example lacks what the task needs, or holds labels that are not the task's.
        """
        ...
