"""Pseudo-rehearsal (Robins 1995), on the new task's images as in Learning without Forgetting (Li and Hoiem 2016)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from stencilnet.masks import NetState, Weights
from stencilnet.methods.distilling import distance
from stencilnet.methods.method import Fit, Fresh, Method
from stencilnet.methods.penalty import NetworkFunction, Penalty
from stencilnet.models import Layout
from stencilnet.text.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class Rehearsal(Method):
    """Continues training the one shared network, and holds earlier tasks' outputs in place without old data.

    The state before the task is the teacher, and every earlier head is distilled on inputs that need no old data. The
    penalty added to the loss is ``L_0 strength sum_k D_k``, with L_0 the loss before training. D_k compares the outputs
    of head k over the current and over the teacher's shared weights: for logits by the Kullback-Leibler divergence at a
    temperature of 2, times its square (Hinton et al. 2015, Sec. 2.1), a mean over images and pixels; for other outputs
    by the mean squared error. Earlier heads stay frozen; Li and Hoiem train them too.
    """

    name: ClassVar[str] = "rehearsal"
    title: ClassVar[str] = "pseudo-rehearsal"
    moves_shared: ClassVar[bool] = True
    forgets: ClassVar[bool] = True
    needs_trained_backbone: ClassVar[bool] = True
    strength: float = 0.3
    """Weight of the distillation, in units of the task's loss before training, L_0."""
    inputs: Literal["images", "noise"] = "images"
    """Inputs for the rehearsal of earlier tasks. ``images``: the step's images. ``noise``: independent uniform values
    in [0, 1], drawn again in every step."""

    def __post_init__(self) -> None:
        check_fields(
            ("strength", self.strength > 0, f"to be positive, but got {self.strength}"),
            ("inputs", self.inputs in ("images", "noise"), f"to be images or noise, but got {self.inputs!r}"),
            owner="rehearsal's",
        )

    def learn(self, state: NetState, task: str, fresh: Fresh, fit: Fit) -> NetState:
        """Return the state with moved shared weights and the task's head.

        Raises:
            ValueError: If an earlier task is more than a head over the shared weights.
        """
        penalty = Distillation(state, fresh.layout, fresh.logits, strength=self.strength, noise=self.inputs == "noise")
        weights = Weights(state.shared, fresh.layout.buffers, fresh.head, fresh.layout.parameters)
        trained = fit(weights, penalty=penalty)
        return state.move(trained.shared()).add(task, trained.head_delta())


class Distillation(Penalty):
    """The distance of earlier heads' outputs from those of an older state.

    All heads are run at once, concatenated to one.

    Args:
        state: The teacher.
        layout: Says which of its tensors are the head's.
        logits: Returns, by a task's name, whether its outputs are logits.
        strength: Factor of the penalty.
        noise: Whether to rehearse on noise of the images' shape instead of the images.

    Raises:
        ValueError: If a task is more than a head over the shared weights.
    """

    name: ClassVar[str] = "distillation"

    def __init__(
        self, state: NetState, layout: Layout, logits: Callable[[str], bool], *, strength: float, noise: bool
    ) -> None:
        super().__init__()
        _check_heads(state, layout)
        self._strength, self._noise = strength, noise
        self._logits = tuple(logits(task) for task in state.deltas)
        heads = [state.weights(task) for task in state.deltas]
        self._channels = [len(weights[layout.head[0]]) for weights in heads]
        joined = {name: torch.cat([weights[name] for weights in heads]) for name in layout.head}
        self._names = {"head": tuple(joined), "teacher": tuple(state.shared)}
        for role, tensors in (("head", joined), ("teacher", state.shared)):
            for position, tensor in enumerate(tensors.values()):
                self.register_buffer(f"{role}_{position}", tensor.detach())

    def settings(self) -> dict[str, float | str]:
        """Return the strength, the inputs, and the kinds of the outputs."""
        kinds = "".join("l" if logits else "v" for logits in self._logits)
        return {"strength": self._strength, "inputs": "noise" if self._noise else "images", "outputs": kinds}

    def forward(self, weights: Mapping[str, Tensor], images: Tensor, run: NetworkFunction) -> Tensor:
        """Return the strength times the sum of all heads' distances."""
        seen = torch.rand_like(images) if self._noise else images
        heads = self._tensors("head")
        with torch.no_grad():
            wanted = run(self._tensors("teacher") | heads, seen)
        given = run({**weights, **heads}, seen)
        pairs = zip(self._of_tasks(given), self._of_tasks(wanted), self._logits, strict=True)
        distances = [distance(ours, theirs, logits=logits) for ours, theirs, logits in pairs]
        return self._strength * torch.stack(distances).sum()

    def _of_tasks(self, output: Tensor) -> tuple[Tensor, ...]:
        return torch.split(output, self._channels, dim=1)

    def _tensors(self, role: str) -> dict[str, Tensor]:
        buffers = dict(self.named_buffers(recurse=False))
        return {name: buffers[f"{role}_{position}"] for position, name in enumerate(self._names[role])}


def _check_heads(state: NetState, layout: Layout) -> None:
    for task, delta in state.deltas.items():
        if more := [name for name in delta.entries if name not in layout.head]:
            raise ValueError(
                f"Expected every earlier task to be a head over the shared weights, but {task!r} has {len(more)} other "
                f"tensors of its own ({', '.join(more[:3])}), which rehearsal cannot hold in place while the shared "
                "weights move. Learn the earlier tasks by methods that store only a head (finetune, rehearsal)."
            )
