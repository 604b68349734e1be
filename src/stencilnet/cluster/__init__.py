"""Distributes the trainings of a run over processes of this machine, or a cluster by Ray, or Slurm through submitit."""

from stencilnet.cluster.asking import Ask, ProcessesAsk, RayAsk, SlurmAsk, read_ask
from stencilnet.cluster.driver import FanError, fan_out
from stencilnet.cluster.jobs import FanJob, jobs

__all__ = ["Ask", "FanError", "FanJob", "ProcessesAsk", "RayAsk", "SlurmAsk", "fan_out", "jobs", "read_ask"]
