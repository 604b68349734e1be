"""Learning from a network that was fine-tuned on the same task (after Hinton et al. 2015)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.methods.distilling import distance
from stencilnet.methods.method import Probe
from stencilnet.methods.penalty import Penalty, Run

SAMPLES = 16
"""Training inputs by which it is measured how far apart teacher and student are before training."""

_LEAST = 1e-8
"""Where they begin alike."""


class Imitation(Penalty):
    """How far the task's outputs are from a teacher's on the step's images, as a share of what that is before training.

    The distance is the divergence at a temperature of 2 for logits, the mean squared error for values. It begins at 1,
    so that at a strength of 1 the term begins as large as the task's loss, whatever the kinds of both. Teacher and
    student run as they will be used. A step costs another pass forward and backward, and the teacher's forward.

    Args:
        teacher: Weights of the whole network, head too, by state-dict key.
        student: Those that training starts from.
        logits: Whether outputs are logits of classes.
        strength: Factor.
        probe: Shows training inputs.
    """

    name: ClassVar[str] = "teacher"

    def __init__(
        self,
        teacher: Mapping[str, Tensor],
        student: Mapping[str, Tensor],
        *,
        logits: bool,
        strength: float,
        probe: Probe,
    ) -> None:
        super().__init__()
        self._logits, self._strength, self._names = logits, strength, tuple(teacher)
        self._unit = max(_apart(teacher, student, probe, logits=logits), _LEAST)
        for position, tensor in enumerate(teacher.values()):
            self.register_buffer(f"teacher_{position}", tensor.detach())

    def settings(self) -> dict[str, float | str]:
        """Return the strength, the distance before training, and which kind the outputs are of."""
        return {
            "strength": self._strength,
            "distance before training": self._unit,
            "outputs": "logits" if self._logits else "values",
        }

    def forward(self, weights: Mapping[str, Tensor], images: Tensor, run: Run) -> Tensor:
        """Return the term."""
        buffers = dict(self.named_buffers(recurse=False))
        with torch.no_grad():
            wanted = run({name: buffers[f"teacher_{place}"] for place, name in enumerate(self._names)}, images)
        return self._strength / self._unit * distance(run(weights, images), wanted, logits=self._logits)


@torch.no_grad()
def _apart(teacher: Mapping[str, Tensor], student: Mapping[str, Tensor], probe: Probe, *, logits: bool) -> float:
    """Return the mean distance over some training inputs."""
    total = 0.0
    for image in probe.inputs(SAMPLES):
        wanted, given = (
            probe.run({name: tensor.detach().to(image.device) for name, tensor in weights.items()}, image)
            for weights in (teacher, student)
        )
        total += float(distance(given, wanted, logits=logits))
    return total / SAMPLES
