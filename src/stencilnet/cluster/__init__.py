"""Distributes the trainings of a run over a cluster by an existing engine: Ray, or Slurm through submitit."""

from stencilnet.cluster.asking import RayAsk, SlurmAsk, read_ask
from stencilnet.cluster.driver import FanError, fan_out
from stencilnet.cluster.jobs import FanJob, jobs

__all__ = ["FanError", "FanJob", "RayAsk", "SlurmAsk", "fan_out", "jobs", "read_ask"]
