"""What other rooms have to know of a task kind beside its members: plain data, declared in the kind's own file."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from stencilnet.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What holds for all tasks of a kind.

    Attributes:
        category: The kind in words, for tables of tasks such as the paper's Table 1.
        input: What the network is given, in words.
        output: What the network returns, in words.
        loss: What is minimised, in words.
        logits: Whether raw outputs are logits of classes; they are values otherwise.
        damage: Whether tasks may be learned from clean images that `view.damage` damages.
        mirror: Why examples must not be mirrored by `view.flip`, as a clause; empty if they may be.
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
        traits: What holds for all tasks of the kind.
    """

    traits: ClassVar[Traits]
