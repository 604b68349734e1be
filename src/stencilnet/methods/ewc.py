"""Elastic weight consolidation (Kirkpatrick et al. 2017)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.masks import NetState, Weights
from stencilnet.methods.method import AfterFirst, Fit, Fresh, Method, Probe
from stencilnet.methods.penalty import NetworkFunction, Penalty
from stencilnet.text.fields import check_fields
from stencilnet.text.shortening import listed

_IMPORTANCE, _ANCHOR, _TASK = "ewc/importance/", "ewc/anchor/", "ewc/task/"
"""Prefixes of what is remembered: for every trained weight, by state-dict key, the summed importance of the tasks and
the value that it is drawn to; for every task, by name, its mean importance before normalisation to 1."""


@dataclass(frozen=True, kw_only=True)
class EWC(Method):
    """Continues training the one shared network, and draws each weight back in proportion to its importance so far.

    The penalty added to the loss is ``L_0 (strength / 2) * sum_k sum_i F_ki (theta_i - theta*_ki)^2`` over earlier
    tasks k and all parameters i except the heads' (Kirkpatrick et al. 2017, Eq. 3), up to a constant. F_k is the
    diagonal of the Fisher information at theta*_k, where task k was learned: a mean over training inputs of squared
    gradients of single images. For logits, these are gradients of the log-likelihood of labels drawn from the softmax
    in each pixel, summed over pixels; for other outputs, of ``<v, output>`` with v drawn from N(0, I), which gives the
    Gauss-Newton matrix (gradients of the loss itself vanish where the loss is small). Each task's F is divided by its
    mean over all weights, and L_0 is the new task's loss before training, so that `strength` means the same for every
    task: the weight decay of a weight of average importance towards its old value, in units of the loss.
    """

    name: ClassVar[str] = "ewc"
    title: ClassVar[str] = "EWC"
    moves_shared: ClassVar[bool] = True
    forgets: ClassVar[bool] = True
    needs_trained_backbone: ClassVar[bool] = True
    after_first: ClassVar[AfterFirst] = "remember"
    strength: float = 0.01
    """Lambda, in units of the new task's loss before training."""
    samples: int = 100
    """Number of training inputs on which importance is measured, once per task, with a forward and a backward pass per
    input."""

    def __post_init__(self) -> None:
        check_fields(
            ("strength", self.strength > 0, f"to be positive, but got {self.strength}"),
            ("samples", self.samples >= 1, f"to be at least 1, but got {self.samples}"),
            owner="EWC's",
        )

    def adopt(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:  # noqa: ARG002 (nothing to train)
        """Return the state with the importance of weights for the first task in its memory."""
        return self._remembering(state, task, fresh)

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with moved shared weights, the task's head, and the importance of weights in its memory.

        Raises:
            ValueError: If the state has no Fisher information for an earlier task.
        """
        known = _known(state, fresh.layout.parameters)
        penalty = Anchors(
            {name: state.memory[_IMPORTANCE + name] for name in known},
            {name: state.memory[_ANCHOR + name] for name in known},
            strength=self.strength,
        )
        weights = Weights(state.shared, fresh.layout.buffers, fresh.head, fresh.layout.parameters)
        trained = fit(weights, penalty=penalty)
        learned = state.move(trained.shared()).add(task, trained.head_delta())
        return self._remembering(learned, task, fresh)

    def _remembering(self, state: NetState, task: str, fresh: Fresh) -> NetState:
        """Add a task's quadratic to the sum of earlier ones: up to a constant, one quadratic around a weighted mean."""
        if fresh.probe is None:
            raise ValueError(f"Expected a `probe` of {task!r}: EWC measures the Fisher information on training inputs.")
        weights, names = state.weights(task), fresh.layout.parameters
        found = fisher(weights, names, fresh.probe, logits=fresh.logits(task), samples=self.samples)
        mean = _mean(found.values())
        if not mean > 0 or not mean.isfinite():
            raise ValueError(
                f"Expected the outputs of {task!r} to depend on the shared weights, but their mean importance is "
                f"{mean.item():g}. Was the task learned?"
            )
        memory = {_TASK + task: mean}
        for name, importance in found.items():
            own, at = importance / mean, weights[name].detach().cpu()
            before = state.memory.get(_IMPORTANCE + name, torch.zeros_like(own))
            anchor = state.memory.get(_ANCHOR + name, at)
            total = before + own
            memory[_IMPORTANCE + name] = total
            memory[_ANCHOR + name] = anchor + torch.where(total > 0, own / total, 1.0) * (at - anchor)
        return state.remember(memory)


class Anchors(Penalty):
    """Half the weighted squared distance from earlier values.

    Args:
        importance: Weights of the squares, at least 0, by state-dict key.
        anchors: The earlier values, by the same keys.
        strength: Factor of the penalty.
    """

    name: ClassVar[str] = "ewc"

    def __init__(self, importance: Mapping[str, Tensor], anchors: Mapping[str, Tensor], *, strength: float) -> None:
        super().__init__()
        self._strength, self._names = strength, tuple(anchors)
        for position, name in enumerate(self._names):
            self.register_buffer(f"importance_{position}", importance[name])
            self.register_buffer(f"anchor_{position}", anchors[name])

    def settings(self) -> dict[str, float | str]:
        """Return the strength."""
        return {"strength": self._strength}

    def forward(self, weights: Mapping[str, Tensor], images: Tensor, run: NetworkFunction) -> Tensor:  # noqa: ARG002 (of weights alone)
        """Return the penalty."""
        kept = dict(self.named_buffers(recurse=False))
        terms = [
            (kept[f"importance_{position}"] * (weights[name] - kept[f"anchor_{position}"]).square()).sum()
            for position, name in enumerate(self._names)
        ]
        return self._strength / 2 * torch.stack(terms).sum()


def fisher(
    weights: Mapping[str, Tensor], names: Iterable[str], probe: Probe, *, logits: bool, samples: int
) -> dict[str, Tensor]:
    """Measure the diagonal of the Fisher information (for outputs other than logits, of the Gauss-Newton matrix).

    Args:
        weights: Weights of the whole network, by state-dict key.
        names: Keys of the weights to measure.
        probe: Yields training inputs and runs the network.
        logits: Whether outputs are logits of classes, along dimension 1.
        samples: Number of inputs; for each, one set of labels, or one vector v, is drawn.

    Returns:
        The mean of squared gradients of single images by key, float32, on the CPU.
    """
    generator = probe.generator()
    moved: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    for image in probe.inputs(samples):
        moved = moved or {name: tensor.detach().to(image.device) for name, tensor in weights.items()}
        asked = {name: moved[name].detach().requires_grad_() for name in names}
        value = _drawn(probe.run({**moved, **asked}, image), generator, logits=logits)
        gradients = torch.autograd.grad(value, list(asked.values()), materialize_grads=True)
        for name, gradient in zip(asked, gradients, strict=True):
            sums[name] = sums.get(name, 0) + gradient.square()
    return {name: (total / samples).cpu() for name, total in sums.items()}


def _drawn(output: Tensor, generator: torch.Generator, *, logits: bool) -> Tensor:
    """Return the log-likelihood of labels drawn from the softmax, or the inner product with a draw from N(0, I)."""
    if not logits:
        return (output * torch.randn(output.shape, generator=generator).to(output.device)).sum()
    likelihood = output.movedim(1, -1).flatten(end_dim=-2).log_softmax(dim=1)
    chances = likelihood.detach().exp().cpu().contiguous()
    labels = torch.multinomial(chances, 1, generator=generator).to(output.device)
    return likelihood.gather(1, labels).sum()


def _mean(tensors: Iterable[Tensor]) -> Tensor:
    kept = list(tensors)
    total = torch.stack([tensor.double().sum() for tensor in kept]).sum()
    return (total / sum(tensor.numel() for tensor in kept)).float()


def _known(state: NetState, names: Iterable[str]) -> tuple[str, ...]:
    missing = [task for task in state.deltas if _TASK + task not in state.memory]
    if missing:
        raise ValueError(
            f"EWC has no Fisher information for {listed(missing)}: bundles do not store it. Continue with the network "
            "that `learn` returned, or in the run folder that learned these tasks, and learn all tasks by ewc, "
            "including the first one."
        )
    return tuple(names)
