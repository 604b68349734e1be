"""A backbone and its tasks on disk (``docs/format.md``)."""

from stencilnet.bundle.archive import pack_task
from stencilnet.bundle.deltas import LazyDeltas
from stencilnet.bundle.editing import add_task, remove_task, replace_task
from stencilnet.bundle.format import BundleError
from stencilnet.bundle.merge import Merged, merge
from stencilnet.bundle.reading import BundleSizes, TaskSizes, read_config, read_records, sizes
from stencilnet.bundle.record import TaskRecord
from stencilnet.bundle.records import task_names
from stencilnet.bundle.sample import sample
from stencilnet.bundle.schema import BundleConfig
from stencilnet.bundle.store import Bundle, open_bundle, save_bundle
from stencilnet.bundle.verify import Finding, Verification, verify

__all__ = [
    "Bundle",
    "BundleConfig",
    "BundleError",
    "BundleSizes",
    "Finding",
    "LazyDeltas",
    "Merged",
    "TaskRecord",
    "TaskSizes",
    "Verification",
    "add_task",
    "merge",
    "open_bundle",
    "pack_task",
    "read_config",
    "read_records",
    "remove_task",
    "replace_task",
    "sample",
    "save_bundle",
    "sizes",
    "task_names",
    "verify",
]
