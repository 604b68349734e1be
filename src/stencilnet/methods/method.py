"""The interface of a method, and the training of the first task, which all methods share."""

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
"""What a method does after the first task was trained; see `Method.after_first`."""


class Fit(Protocol):
    """The training function passed to a method, so that methods never import the training loop.

    Checkpoints belong to the n-th call for a method and task, so a resumed method must make the same calls.
    """

    def __call__(self, trainable: T, *, penalty: Penalty | None = None, share: float = 1.0, lr_scale: float = 1.0) -> T:
        """Train for the current task, and return the trainable at the step that validation data selected.

        Args:
            trainable: What to train.
            penalty: A term to add to the task's loss, in units of the loss before training, so that it has the same
                weight for every kind of loss. Default: none.
            share: Share of the recipe's steps, above 0; the schedule is scaled to them.
            lr_scale: Factor on all learning rates, above 0.
        """
        ...


class Probe(Protocol):
    """The task's training inputs and the network, for methods that measure something on them."""

    def inputs(self, count: int) -> Iterator[Tensor]:
        """Yield training inputs ``(1, 3, H, W)`` in [0, 1], augmented as in training, on the training device.

        Every call yields the same ones. If there are fewer than `count`, they are repeated with other augmentations.
        """
        ...

    def run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Run the network like `stencilnet.methods.NetworkFunction`, in float32, with weights on the images' device."""
        ...

    def generator(self) -> torch.Generator:
        """Return a new generator on the CPU, seeded by the task, for random draws of a measurement."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Fresh:
    """What a method receives for learning a task, beside the state and the training function.

    Attributes:
        layout: The roles of the backbone's tensors.
        head: A new head with the task's channels, by state-dict key, drawn by the task's seed.
        shared: New weights for everything but the head, by state-dict key, drawn by the task's seed.
        logits: Returns, by the name of a task (one of the state, or the new one), whether its raw outputs are logits of
            classes, along dimension 1.
        probe: Gives access to the task's training inputs; None if there are none.
    """

    layout: Layout
    head: Mapping[str, Tensor]
    shared: Mapping[str, Tensor]
    logits: Callable[[str], bool] = field(default=lambda _: False)
    probe: Probe | None = None


@dataclass(frozen=True, kw_only=True)
class Declared(ABC):
    """The properties that every method declares, with defaults.

    A method is a frozen keyword-only dataclass like this one. Its fields, which all have defaults, are its settings.

    Attributes:
        name: Name in configs, in bundles and on the command line.
        title: Name in tables and figures.
        colour: Colour in figures, ``#rrggbb``; None for the next free one.
        moves_shared: Whether learning may change the shared weights, so that every task needs a bundle of its own.
        forgets: Whether learning may change the outputs of earlier tasks.
        needs_decoder: Whether the backbone must have a decoder.
        needs_trained_backbone: Whether learning starts from shared weights that the first task has trained, so that it
            is refused over random ones (`backbone.stored: seed:N`).
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
        """Whether the method trains the scales and shifts of norms, so that the backbone must have some."""
        return False

    @property
    def mask_lr(self) -> float | None:
        """Learning rate of real masks, above 0; None for that of the recipe."""
        return None

    def prerequisites(self, task: str, learned_before: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002 (a default)
        """Return the tasks after the first that `task` builds on, which the bundle must hold before it is learned.

        Args:
            task: Name of the task to learn.
            learned_before: Names of the tasks after the first that the method learns before it, in order.
        """
        return ()

    def order_problems(self, tasks: tuple[str, ...]) -> list[str]:  # noqa: ARG002 (a default)
        """Return why the method with its settings cannot learn tasks in this order, each as ``setting: problem``.

        Args:
            tasks: Names of the tasks after the first that a run learns by the method, in order.
        """
        return []


class Method(Declared):
    """A method that learns one task after the other.

    Attributes:
        after_first: What `adopt` does after the first task was trained: ``nothing``; ``remember``: it only adds memory
            to the state; ``retrain``: it changes the first task, which gets another bundle and result for this method.
            The latter two require `moves_shared`.
    """

    after_first: ClassVar[AfterFirst] = "nothing"

    def adopt(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:  # noqa: ARG002 (a default)
        """Do what `after_first` says; return the state from which further tasks are learned. `state` is not changed.

        Args:
            state: The result of `learn_first`, which holds the first task alone.
            task: Name of the first task.
            fresh: As for `learn`; its tensors are those from which the first task started.
            fit: Trains on the first task's data.
        """
        return state

    @abstractmethod
    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Learn a task and return the state that has it; `state` is not changed.

        Args:
            state: The state after the tasks learned so far.
            task: Name of the task to learn.
            fresh: The task's new tensors, and the layout of the backbone.
            fit: Trains on the task's data.
        """


class JointMethod(Declared):
    """A method that learns all tasks of a config at once, from the initial backbone."""

    @abstractmethod
    def learn_together(self, heads: Mapping[str, Mapping[str, Tensor]], fresh: Fresh, fit: Fit) -> NetState:
        """Learn all tasks and return the state that has them.

        Args:
            heads: Each task's new head, by name and state-dict key; `fit` expects their channels in this order.
            fresh: The initial weights and the layout of the backbone; its head is not used.
            fit: Trains on the data of all tasks.
        """


AnyMethod = Method | JointMethod
"""A method of either kind."""


class Masking(ABC):
    """A method that trains real masks, so that one can interpolate between two of its tasks (`stencil blend`)."""

    @abstractmethod
    def trainable(self, state: NetState, task: str, fresh: Fresh) -> Masks:
        """Return what `Method.learn` trains, in its initial state; the arguments are those of `Method.learn`."""


def learn_first(task: str, fresh: Fresh, fit: Fit) -> NetState:
    """Train the backbone whole on the first task; only the task's head becomes its delta (the paper, Sec. 3)."""
    trained = fit(Weights(fresh.shared, fresh.layout.buffers, fresh.head, fresh.layout.parameters))
    return NetState(trained.shared()).add(task, trained.head_delta())


def learn_first_head(task: str, start: Mapping[str, Tensor], fresh: Fresh, fit: Fit) -> NetState:
    """Learn the first task over a frozen backbone, such as ImageNet's (Mallya et al. 2018, Sec. 4).

    The shared weights are the tensors of `start` themselves. The task's delta is its head and the running statistics
    that its training moved.
    """
    trained = fit(Weights(start, fresh.layout.buffers, fresh.head, ()))
    return NetState(start).add(task, trained.delta())


def own_norms(layout: Layout) -> tuple[str, ...]:
    """Return the keys of the scales and shifts of a backbone's norms, of which a task can have its own.

    Raises:
        ValueError: If the norms have none.
    """
    if not layout.norms:
        raise ValueError(
            "Expected a backbone whose norms have scales and shifts to train, but it has none. "
            "Build the U-Net with `norm: own` or `norm: affine`, or do not train norms."
        )
    return layout.norms
