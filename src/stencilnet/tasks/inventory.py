"""What examples must contain to be learned and measured: data in which nothing can be wrong give perfect scores."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from stencilnet.tasks.task import Example, Task


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What is counted in a task's examples.

    Attributes:
        unit: What is counted, in the plural: ``labelled pixels``.
        things: Names of the categories that units may belong to, such as the classes.
        named: Whether each category matters by itself, so that one missing from a part of the data is reported.
        least: How many different categories training needs: two where they exclude each other.
        enough: What training needs, in words.
        some: What any other part of the data needs at least, in words.
        rest: What units outside all categories are, in words; empty if there are no such units.
        remedy: What to do if too few are found.
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
    """A task whose examples may contain nothing to learn or to measure. Check with ``isinstance``."""

    def inventory(self) -> Inventory:
        """Return what is counted."""
        ...

    def count(self, example: Example) -> Tensor:
        """Count an example's units in each category, and last those in none: ``(len(things) + 1,)`` int64.

        If the example has a label or a category, its photo is not used and may be empty, ``(3, 0, 0)``.

        Raises:
            ValueError: If the example lacks what the task needs, or its labels are not the task's.
        """
        ...
