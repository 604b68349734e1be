"""What the score of a weight does to it: the forms that real masks come in. Here the paper's; others have own files."""

from typing import ClassVar, Protocol

from torch import Tensor

from stencilnet.masks.binarize import Selection, binarize
from stencilnet.masks.entries import Entry, Select
from stencilnet.masks.packing import BitMask


class Form(Protocol):
    """How one weight becomes a task's own, given its scores and, in some forms, a few trained numbers.

    There is one object a weight, which may keep memory from call to call.

    Attributes:
        selects: Whether a weight whose `code` is 0 is switched off.
    """

    selects: ClassVar[bool]

    def start(self) -> tuple[Tensor, ...]:
        """Return where the trained numbers start, float32; none in a form without."""
        ...

    def __call__(self, weight: Tensor, real: Tensor, numbers: tuple[Tensor, ...]) -> Tensor:
        """Return the task's weight, differentiable in scores and numbers alone."""
        ...

    def entry(self, real: Tensor, numbers: tuple[Tensor, ...]) -> Entry:
        """Return what a task keeps of them, on the CPU; ``entry.apply(weight)`` is bit-equal to the task's weight."""
        ...

    def code(self, real: Tensor) -> Tensor:
        """Return what is kept of the scores alone, a number or bool for each."""
        ...


class Binary:
    """The paper's form: a weight whose score is above the threshold is kept, another is zero."""

    selects: ClassVar[bool] = True

    def __init__(self) -> None:
        self._selection = Selection()

    def start(self) -> tuple[Tensor, ...]:
        """Return nothing: scores are all there is."""
        return ()

    def __call__(self, weight: Tensor, real: Tensor, numbers: tuple[Tensor, ...]) -> Tensor:  # noqa: ARG002
        """Return the selected weights, in memory that is kept."""
        return self._selection(weight, real)

    def entry(self, real: Tensor, numbers: tuple[Tensor, ...]) -> Entry:  # noqa: ARG002
        """Return the packed bits."""
        return Select(BitMask.pack(binarize(real).cpu()))

    def code(self, real: Tensor) -> Tensor:
        """Return the bits."""
        return binarize(real)
