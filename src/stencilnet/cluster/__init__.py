"""The trainings of a run, spread over a cluster by an engine that is there already: Ray, or Slurm through submitit."""

from stencilnet.cluster.asking import RayAsk, SlurmAsk, read_ask
from stencilnet.cluster.driver import FanError, fan_out
from stencilnet.cluster.jobs import FanJob, jobs

__all__ = ["FanError", "FanJob", "RayAsk", "SlurmAsk", "fan_out", "jobs", "read_ask"]
