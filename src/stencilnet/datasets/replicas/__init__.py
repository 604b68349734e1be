"""Tiny replicas of the public data sets in their official layouts, drawn from the embedded scenes."""

from stencilnet.datasets.replicas.make import REPLICAS, make_replica

__all__ = ["REPLICAS", "make_replica"]
