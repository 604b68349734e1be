"""What other packages need to know about a task kind besides its members: plain data, declared in the kind's file."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from stencilnet.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Traits:
    """Properties of all tasks of a kind.

    Attributes:
        category: The kind in words, for tables of tasks such as the paper's Table 1.
        input: The network's input, in words.
        output: The network's output, in words.
        loss: The loss, in words.
        logits: Whether raw outputs are class logits rather than values.
        damage: Whether tasks may be learned from clean images that `view.damage` damages.
        mirror: Why `view.flip` must not mirror examples, as a clause; empty if it may.
    """

    category: str
    input: str = "RGB"
    output: str = "RGB"
    loss: str
    logits: bool = False
    damage: bool = False
    mirror: str = ""


class Kind(Task, Protocol):
    """A task kind as the registry lists it: a frozen dataclass that declares its traits.

    Attributes:
        traits: Properties of all tasks of the kind.
    """

    traits: ClassVar[Traits]
