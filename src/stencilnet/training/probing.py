"""Access to a task's training inputs and the network, for methods that measure something on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stencilnet.methods import Probe
from stencilnet.models.columns import run
from stencilnet.training.job import Job
from stencilnet.training.networks import graph_of
from stencilnet.training.sampling import Order
from stencilnet.training.seeds import PROBE, derived_seed


def make_probe(backbone: nn.Module, job: Job, device: str) -> Probe:
    """Return a method's access to a job's training inputs.

    Args:
        backbone: Any network; a copy of its graph is used.
        job: The job whose training inputs are read.
        device: Device of the inputs and the network.
    """
    return _Probe(graph=graph_of(backbone, device).eval(), job=job, device=device)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Probe:
    graph: nn.Module
    job: Job
    device: str

    def inputs(self, count: int) -> Iterator[Tensor]:
        order = Order(seed=derived_seed(self.job.seed, PROBE), size=len(self.job.train), batch=count, steps=1)
        for key in order.keys(0):
            sample = {name: tensor[None].to(self.device) for name, tensor in self.job.train[key].items()}
            yield self.job.task.prepare(sample)["input"]

    def run(self, weights: Mapping[str, Tensor], images: Tensor) -> Tensor:
        return run(self.graph, weights, images).float()

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(derived_seed(self.job.seed, PROBE, 0))
