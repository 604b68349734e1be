"""A backbone and its tasks on disk (``docs/format.md``)."""

from stencilnet.bundle.deltas import LazyDeltas
from stencilnet.bundle.editing import add_task, remove_task
from stencilnet.bundle.format import BundleError
from stencilnet.bundle.merge import Merged, merge
from stencilnet.bundle.reading import read_config, read_records
from stencilnet.bundle.records import task_names
from stencilnet.bundle.schema import BundleConfig
from stencilnet.bundle.store import load, save
from stencilnet.bundle.verify import Finding, Verification, verify

__all__ = [
    "BundleConfig",
    "BundleError",
    "Finding",
    "LazyDeltas",
    "Merged",
    "Verification",
    "add_task",
    "load",
    "merge",
    "read_config",
    "read_records",
    "remove_task",
    "save",
    "task_names",
    "verify",
]
