"""The interface of a method, and the training of the first task, which all methods share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from torch import Tensor

from stencilnet.masks import NetState, Trainable, Weights
from stencilnet.models import Layout

T = TypeVar("T", bound=Trainable)


class Fit(Protocol):
    """Training as a method sees it: optimise a trainable for the task at hand and return its selected step.

    Passed in, so that methods never import the training loop. The n-th call for a (method, task) is what a
    checkpoint is resumed by.
    """

    def __call__(self, trainable: T) -> T:
        """Train and return the step that validation data selected."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Fresh:
    """Untrained tensors a task may start from, drawn from its seed.

    Attributes:
        layout: Which of the backbone's tensors are what.
        head: A new head with the task's channels, by state-dict key.
        shared: New weights for everything but the head, by state-dict key.
        seed: The task's, for what a method draws beside them.
    """

    layout: Layout
    head: Mapping[str, Tensor]
    shared: Mapping[str, Tensor]
    seed: int = 0


class Method(Protocol):
    """A way to learn a task after the first.

    Attributes:
        name: As in configs, tables and bundles.
        moves_shared: Whether learning may change the shared weights, and so what earlier tasks do.
    """

    name: ClassVar[str]
    moves_shared: ClassVar[bool]

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with `task` learned; `state` stays as it is."""
        ...


def learn_first(task: str, fresh: Fresh, fit: Fit) -> NetState:
    """Train the backbone whole on the first task; only the task's head becomes its delta (the paper, Sec. 3)."""
    trained = fit(Weights(fresh.shared, fresh.layout.buffers, fresh.head, fresh.layout.parameters))
    return NetState(trained.shared()).add(task, trained.head_delta())


def learn_first_head(task: str, start: Mapping[str, Tensor], fresh: Fresh, fit: Fit) -> NetState:
    """Learn the first task over a backbone that stays as it is, such as ImageNet's (Mallya et al. 2018, Sec. 4).

    The shared weights are the tensors of `start` themselves. The task's delta is its head, and the running statistics
    that its training moved.
    """
    trained = fit(Weights(start, fresh.layout.buffers, fresh.head, ()))
    return NetState(start).add(task, trained.delta())


def own_norms(layout: Layout) -> tuple[str, ...]:
    """Return the keys of a backbone's norm scales and shifts, for a task to have of its own.

    Raises:
        ValueError: If it has none.
    """
    if not layout.norms:
        raise ValueError(
            "Expected a backbone whose norms have scales and shifts to train, but it has none. "
            "Build the U-Net with `norm: affine`, or leave norms as they are."
        )
    return layout.norms
