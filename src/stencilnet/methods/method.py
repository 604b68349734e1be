"""What a method declares and does, and the training of the first task, which all methods share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from stencilnet.masks import Masks, NetState, Trainable, Weights
from stencilnet.methods.penalty import Penalty
from stencilnet.models import Layout

T = TypeVar("T", bound=Trainable)

AfterFirst = Literal["nothing", "remember", "retrain"]
"""What a method does of its own once the first task is trained."""


class Fit(Protocol):
    """Training as a method sees it: optimise a trainable for the task at hand and return its selected step.

    Passed in, so that methods never import the training loop. The n-th call for a (method, task) is what a
    checkpoint is resumed by.
    """

    def __call__(self, trainable: T, *, penalty: Penalty | None = None, share: float = 1.0, lr_scale: float = 1.0) -> T:
        """Train and return the step that validation data selected.

        Args:
            trainable: What to train.
            penalty: A term to add to the task's loss, in units of what that is before training: so it weighs the same
                beside every kind of loss.
            share: Of the recipe's steps, above 0; the schedule is that of the shorter training.
            lr_scale: Factor on all learning rates, above 0.
        """
        ...


class Probe(Protocol):
    """The task's training inputs and the network, for a method that measures something on them."""

    def inputs(self, count: int) -> Iterator[Tensor]:
        """Yield training inputs ``(1, 3, H, W)`` in [0, 1], as a step sees them, on the device of the training.

        The same ones at every call; where there are fewer than `count`, they come again, otherwise augmented.
        """
        ...

    def run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Run the network as `stencilnet.methods.Run` says, in float32, by weights on the images' device."""
        ...

    def generator(self) -> torch.Generator:
        """Return a fresh generator on the CPU, seeded by the task, for what a measurement draws."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Fresh:
    """What learning a task is handed beside the state and the training.

    Attributes:
        layout: Which of the backbone's tensors are what.
        head: A new head with the task's channels, by state-dict key, drawn from the task's seed.
        shared: New weights for everything but the head, by state-dict key, drawn from the task's seed.
        logits: Tells, by the name of a task (one of the state's, or the new one), whether its raw outputs are logits of
            classes, along dimension 1; what others put out are values.
        probe: Looks at the task's training inputs; None where there are none to look at.
    """

    layout: Layout
    head: Mapping[str, Tensor]
    shared: Mapping[str, Tensor]
    logits: Callable[[str], bool] = field(default=lambda _: False)
    probe: Probe | None = None


@dataclass(frozen=True, kw_only=True)
class Declared(ABC):
    """What every method says of itself, with the defaults of what it need not say.

    A method is a frozen keyword-only dataclass like this one. Its fields, which all have defaults, are its settings.

    Attributes:
        name: In configs, bundles and on the command line.
        title: In tables and figures.
        colour: In figures, ``#rrggbb``; None for the next free one.
        moves_shared: Whether learning may change the shared weights, so that every task needs a bundle of its own.
        forgets: Whether learning may change what earlier tasks do.
        needs_decoder: Whether it needs a backbone with a decoder.
        needs_trained_backbone: Whether it starts from shared weights that hold what the first task has learned, so that
            it makes no sense over random ones (`backbone.stored: seed:N`).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    colour: ClassVar[str | None] = None
    moves_shared: ClassVar[bool] = False
    forgets: ClassVar[bool] = False
    needs_decoder: ClassVar[bool] = False
    needs_trained_backbone: ClassVar[bool] = False

    @property
    def trains_norms(self) -> bool:
        """Whether it needs a backbone whose norms have scales and shifts, to train them for a task."""
        return False

    @property
    def mask_lr(self) -> float | None:
        """Learning rate of real masks, above 0; None for the recipe's."""
        return None

    def prerequisites(self, task: str, learned_before: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 (a default)
        """Return the tasks after the first that `task` is learned from, which one bundle must hold then.

        Args:
            task: Name of the task to learn.
            learned_before: Names of the tasks after the first that the method learns before it, in order.
        """
        return ()

    def order_problems(self, tasks: tuple[str, ...]) -> list[str]:  # noqa: ARG002 (a default)
        """Return what keeps the method, as set, from learning tasks in this order, each as ``setting: problem``.

        Args:
            tasks: Names of the tasks after the first that a run learns by it.
        """
        return []


class Method(Declared):
    """A method that learns one task after the other.

    Attributes:
        after_first: What it does of its own once the first task is trained, before any other: ``nothing``;
            ``remember``, so that the state gains in memory alone; or ``retrain``, so that the first task changes and
            has a bundle and a result of its own. Other than nothing only where `moves_shared` is true.
    """

    after_first: ClassVar[AfterFirst] = "nothing"

    def adopt(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:  # noqa: ARG002 (a default)
        """Return the state that further tasks are learned from: as `after_first` says; `state` stays as it is.

        Args:
            state: What `learn_first` left: it holds the first task alone.
            task: The first task.
            fresh: As for `learn`; its tensors are those that the first task started from.
            fit: Trains on the first task's data.
        """
        return state

    @abstractmethod
    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with `task` learned; `state` stays as it is."""


class JointMethod(Declared):
    """A method that learns all tasks of a config at once, from the backbone's start."""

    @abstractmethod
    def learn_together(self, heads: Mapping[str, Mapping[str, Tensor]], fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with all tasks learned.

        Args:
            heads: Each task's new head, by name and state-dict key, in the order of the channels that `fit` trains.
            fresh: Gives what the backbone starts from; its own head does not matter.
            fit: Trains on all tasks.
        """


AnyMethod = Method | JointMethod
"""A method of either kind."""


class Masking(ABC):
    """A method that trains real masks: between two of its tasks lies a line of tasks (`stencil blend`)."""

    @abstractmethod
    def trainable(self, state: NetState, task: str, fresh: Fresh) -> Masks:
        """Return what `Method.learn` trains, as it starts; the arguments are those of `Method.learn`."""


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
            "Build the U-Net with `norm: own` or `norm: affine`, or leave norms as they are."
        )
    return layout.norms
