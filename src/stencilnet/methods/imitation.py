"""Learning from a network that was fine-tuned on the same task (after Hinton et al. 2015)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from stencilnet.methods.distilling import distance
from stencilnet.methods.method import Probe
from stencilnet.methods.penalty import Penalty, Run

SAMPLES = 16
"""Training inputs by which the spread of a teacher's outputs is measured."""


class Imitation(Penalty):
    """How far the task's outputs are from a teacher's, on the step's images.

    For logits the divergence at a temperature of 2; for values the mean squared error, as a share of the variance of
    the teacher's outputs, so that a strength means the same for a colouring and a style. Teacher and student run as
    they will be used. A step costs another pass forward and backward, and the teacher's forward.

    Args:
        teacher: Weights of the whole network, head too, by state-dict key.
        logits: Whether outputs are logits of classes.
        strength: Factor.
        probe: Shows the training inputs by which the variance is measured.
    """

    name: ClassVar[str] = "teacher"

    def __init__(self, teacher: Mapping[str, Tensor], *, logits: bool, strength: float, probe: Probe) -> None:
        super().__init__()
        self._logits, self._strength, self._names = logits, strength, tuple(teacher)
        self._unit = 1.0 if logits else variance(teacher, probe)
        for position, tensor in enumerate(teacher.values()):
            self.register_buffer(f"teacher_{position}", tensor.detach())

    def settings(self) -> dict[str, float | str]:
        """Return the strength, what distances are divided by, and which kind the outputs are of."""
        return {
            "strength": self._strength,
            "unit": self._unit,
            "outputs": "logits" if self._logits else "values",
        }

    def forward(self, weights: Mapping[str, Tensor], images: Tensor, run: Run) -> Tensor:
        """Return the term."""
        buffers = dict(self.named_buffers(recurse=False))
        with torch.no_grad():
            wanted = run({name: buffers[f"teacher_{place}"] for place, name in enumerate(self._names)}, images)
        return self._strength / self._unit * distance(run(weights, images), wanted, logits=self._logits)


def variance(weights: Mapping[str, Tensor], probe: Probe) -> float:
    """Return the variance of a network's outputs about each channel's mean, over some training inputs."""
    with torch.no_grad():
        outputs = [
            probe.run({name: tensor.to(image.device) for name, tensor in weights.items()}, image)
            for image in probe.inputs(SAMPLES)
        ]
    channels = torch.cat(outputs).movedim(1, 0).flatten(start_dim=1)
    return max(float(channels.var(dim=1, correction=0).mean()), torch.finfo(torch.float32).tiny)
