"""What a method trains: parameters that give effective weights in the forward pass and a delta at the end."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stencilnet.delta import BitMask, Entry, Replace, Select, TaskDelta
from stencilnet.masks.arrays import array_of
from stencilnet.masks.binarize import INITIAL, Selection, binarize
from stencilnet.masks.real import RealTask


class Trainable(nn.Module, ABC):
    """The parameters of one training, over shared weights that it never writes.

    Frozen weights are parameters without gradient rather than buffers, so that distributed training does not
    broadcast them at every step. Buffers of the network (batch-norm statistics) are copied: training mode updates the
    copies, and the delta stores them.

    Args:
        shared: State dict of the backbone without its head.
        buffers: Keys of `shared` that are buffers.
        head: The task's initial head, by state-dict key.
        trained: Keys of `shared` that are trained directly, from their values there.
    """

    def __init__(
        self,
        shared: Mapping[str, Tensor],
        buffers: Iterable[str],
        head: Mapping[str, Tensor],
        trained: Iterable[str],
    ) -> None:
        super().__init__()
        running, moving = set(buffers), set(trained)
        self._shared_names = tuple(shared)
        self._buffer_names = tuple(name for name in shared if name in running)
        self._trained_names = tuple(name for name in shared if name in moving)
        self._frozen_names = tuple(name for name in shared if name not in running | moving)
        self._head_names = tuple(head)
        self._frozen = nn.ParameterList(
            nn.Parameter(shared[n].detach(), requires_grad=False) for n in self._frozen_names
        )
        self._head = nn.ParameterList(nn.Parameter(tensor.detach().clone()) for tensor in head.values())
        self._trained = nn.ParameterList(nn.Parameter(shared[n].detach().clone()) for n in self._trained_names)
        for position, name in enumerate(self._buffer_names):
            self.register_buffer(f"_buffer_{position}", shared[name].detach().clone())

    @abstractmethod
    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained parameters by role; learning rates are set per role.

        Roles are ``mask``, ``norm``, ``weight`` and ``head``.
        """

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return effective weights for every state-dict key, differentiable in the trained parameters only.

        They are valid until a parameter changes: the next call may overwrite their memory, and an optimiser overwrites
        trained weights.
        """

    @abstractmethod
    def delta(self) -> TaskDelta:
        """Return the task as it stands now; applied to the shared weights it is bit-equal to `weights`."""

    @abstractmethod
    def shared(self) -> dict[str, Tensor]:
        """Return the shared weights after this training, on the CPU (unchanged unless it moves them)."""

    def after_step(self, step: int, steps: int) -> None:
        """Called after each optimiser step, on every device of a training.

        Args:
            step: Number of steps done, from 1.
            steps: Steps of the whole training.
        """

    @property
    def selectable(self) -> bool:
        """Whether its current state is a complete task, so that an evaluation may select it."""
        return True

    @property
    def expected_growth(self) -> int:
        """Bytes by which the delta at the end of a training is expected to exceed that of an untrained state."""
        return 0

    def status(self) -> dict[str, float]:
        """Return values that training curves show beside losses, by name."""
        return {}

    @property
    def settings(self) -> dict[str, Any]:
        """Values other than tensors that affect training, by name; a training can be resumed only with equal ones."""
        return {}

    def head_delta(self) -> TaskDelta:
        """Return a delta of the head alone: what the task keeps of its own when its weights become the shared ones."""
        return TaskDelta(
            {name: Replace(array_of(_stored(t))) for name, t in self._own_tensors().items() if name in self._head_names}
        )

    def _moved_shared(self) -> dict[str, Tensor]:
        """Return the shared weights, replaced by the effective weights and running statistics."""
        weights = self.weights()
        return {name: _stored(weights[name]) for name in self._shared_names}

    def _frozen_weights(self) -> dict[str, Tensor]:
        return dict(zip(self._frozen_names, self._frozen, strict=True))

    def _own_tensors(self) -> dict[str, Tensor]:
        """Return the task's own tensors: trained weights, running statistics, head."""
        buffers = dict(self.named_buffers(recurse=False))
        running = {name: buffers[f"_buffer_{position}"] for position, name in enumerate(self._buffer_names)}
        moved = dict(zip(self._trained_names, self._trained, strict=True))
        return moved | running | dict(zip(self._head_names, self._head, strict=True))

    def _own_entries(self) -> dict[str, Entry]:
        return {name: Replace(array_of(_stored(tensor))) for name, tensor in self._own_tensors().items()}


class Masks(Trainable):
    """A real mask over each named weight, and the head (the paper, Sec. 3); optionally the task's own norms.

    A weight is kept if its score is above the threshold, and zero otherwise. Real masks are float32 whatever the dtype
    of the weights: near 0.01, half precision would lose a step of Adam.

    Selected weights are cached between calls; see `Selection` for changes that it cannot detect.

    Args:
        shared: State dict of the backbone without its head.
        buffers: Keys of `shared` that are buffers.
        head: The task's initial head, by state-dict key.
        masked: Keys of the weights to mask.
        norms: Keys of the scales and shifts to train directly; none by default.
        start: Initial scores by key; None (default) starts all at 1e-2.
    """

    def __init__(
        self,
        shared: Mapping[str, Tensor],
        buffers: Iterable[str],
        head: Mapping[str, Tensor],
        masked: Iterable[str],
        norms: Iterable[str] = (),
        *,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(shared, buffers, head, norms)
        self._before = {name: shared[name].detach() for name in (*self._buffer_names, *self._trained_names)}
        self._masked_names = tuple(masked)
        self._real = nn.ParameterList(
            nn.Parameter(
                torch.full(shared[name].shape, INITIAL, dtype=torch.float32) if start is None else start[name].clone()
            )
            for name in self._masked_names
        )
        self._selections = tuple(Selection() for _ in self._masked_names)
        self._first = None if start is None else [bits.cpu() for bits in self._bits()]

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return real masks (``mask``) and head (``head``), and norms (``norm``) if any."""
        norms = {"norm": list(self._trained)} if self._trained_names else {}
        return {"mask": list(self._real), **norms, "head": list(self._head)}

    def weights(self) -> dict[str, Tensor]:
        """Return masked weights, frozen biases and the task's own tensors."""
        weights = self._frozen_weights()
        for name, selection, real in zip(self._masked_names, self._selections, self._real, strict=True):
            weights[name] = selection(weights[name], real)
        return weights | self._own_tensors()

    def delta(self) -> TaskDelta:
        """Return one packed mask per masked tensor, and the task's own tensors."""
        masks = zip(self._masked_names, self._bits(), strict=True)
        entries: dict[str, Entry] = {name: Select(BitMask.pack(bits.cpu())) for name, bits in masks}
        return TaskDelta(entries | self._own_entries())

    def real(self) -> RealTask:
        """Return copies of the scores and of the task's own tensors, on the CPU; ``real().delta()`` equals `delta`."""
        scores = {name: _stored(real) for name, real in zip(self._masked_names, self._real, strict=True)}
        return RealTask(scores, {name: _stored(tensor) for name, tensor in self._own_tensors().items()})

    def shared(self) -> dict[str, Tensor]:
        """Return the shared weights, which this training does not change."""
        kept = self._frozen_weights() | self._before
        return {name: _stored(kept[name]) for name in self._shared_names}

    def status(self) -> dict[str, float]:
        """Return the share of weights switched off (``mask/zeros``)."""
        return {"mask/zeros": self.zeros() / self.numel}

    @property
    def numel(self) -> int:
        """Number of masked weights."""
        return sum(real.numel() for real in self._real)

    def zeros(self) -> int:
        """Return how many weights are switched off now."""
        ones = [bits.count_nonzero() for bits in self._bits()]
        return self.numel - (int(torch.stack(ones).sum()) if ones else 0)

    def flips(self) -> int:
        """Return how many bits differ from those at the start."""
        if self._first is None:  # all started as ones
            return self.zeros()
        pairs = zip(self._bits(), self._first, strict=True)
        return sum(int((bits.cpu() != first).sum()) for bits, first in pairs)

    def _bits(self) -> Iterator[Tensor]:
        return (binarize(real.detach()) for real in self._real)


class Weights(Trainable):
    """Plain training of the named weights and the head: scratch, fine-tuning, a decoder.

    Args:
        shared: State dict of the backbone without its head, where training starts.
        buffers: Keys of `shared` that are buffers.
        head: The task's initial head, by state-dict key.
        trained: Keys of the weights to train; the others are frozen.
    """

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained weights (``weight``) and the head (``head``)."""
        return {"weight": list(self._trained), "head": list(self._head)}

    def weights(self) -> dict[str, Tensor]:
        """Return trained and frozen weights and the task's own tensors."""
        return self._frozen_weights() | self._own_tensors()

    def delta(self) -> TaskDelta:
        """Return the trained weights whole, and the task's own tensors."""
        return TaskDelta(self._own_entries())

    def shared(self) -> dict[str, Tensor]:
        """Return the shared weights, replaced by the trained ones and the running statistics."""
        return self._moved_shared()


class Free(Trainable):
    """Plain training of some elements of the named weights, and of the head; all others are frozen.

    Frozen elements are taken from `shared` by `where`, so that neither momentum nor weight decay can move them.

    Args:
        shared: State dict of the backbone without its head, where training starts.
        buffers: Keys of `shared` that are buffers.
        head: The task's initial head, by state-dict key.
        free: Bool masks of the elements to train, by the keys of their weights.
    """

    def __init__(
        self,
        shared: Mapping[str, Tensor],
        buffers: Iterable[str],
        head: Mapping[str, Tensor],
        free: Mapping[str, Tensor],
    ) -> None:
        super().__init__(shared, buffers, head, ())
        self._free_names = tuple(free)
        self._free = nn.ParameterList(nn.Parameter(bits.detach(), requires_grad=False) for bits in free.values())
        self._moving = nn.ParameterList(nn.Parameter(shared[name].detach().clone()) for name in self._free_names)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the weights that have free elements (``weight``) and the head (``head``)."""
        return {"weight": list(self._moving), "head": list(self._head)}

    def weights(self) -> dict[str, Tensor]:
        """Return the weights with trained elements, the frozen weights and the task's own tensors."""
        frozen = self._frozen_weights()
        return frozen | self._freed(frozen) | self._own_tensors()

    def delta(self) -> TaskDelta:
        """Return the weights that have free elements, whole, and the task's own tensors."""
        freed = self._freed(self._frozen_weights())
        entries: dict[str, Entry] = {name: Replace(array_of(_stored(tensor))) for name, tensor in freed.items()}
        return TaskDelta(entries | self._own_entries())

    def shared(self) -> dict[str, Tensor]:
        """Return the shared weights, replaced by the trained elements and the running statistics."""
        return self._moved_shared()

    def _freed(self, frozen: Mapping[str, Tensor]) -> dict[str, Tensor]:
        rows = zip(self._free_names, self._free, self._moving, strict=True)
        return {name: torch.where(bits, moving, frozen[name]) for name, bits, moving in rows}


def _stored(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
