"""A backbone and its tasks on disk (``docs/format.md``)."""

from stencilnet.bundle.deltas import LazyDeltas
from stencilnet.bundle.editing import add_task, remove_task, replace_task
from stencilnet.bundle.format import BundleError
from stencilnet.bundle.merge import Merged, merge
from stencilnet.bundle.reading import BundleSizes, TaskSizes, read_config, read_records, sizes
from stencilnet.bundle.records import task_names
from stencilnet.bundle.schema import BundleConfig
from stencilnet.bundle.store import load, save
from stencilnet.bundle.verify import Finding, Verification, verify

__all__ = [
    "BundleConfig",
    "BundleError",
    "BundleSizes",
    "Finding",
    "LazyDeltas",
    "Merged",
    "TaskSizes",
    "Verification",
    "add_task",
    "load",
    "merge",
    "read_config",
    "read_records",
    "remove_task",
    "replace_task",
    "save",
    "sizes",
    "task_names",
    "verify",
]
