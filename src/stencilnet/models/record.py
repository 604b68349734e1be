"""What a task is, beside what it changes: the plain data that a bundle keeps as ``task.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A learned task's description. Every value is JSON data.

    Attributes:
        kind: Task kind, as in a config (``segmentation``, ``colorization``, ...).
        channels: Output channels of the head.
        method: What it was learned by (``piggyback``, ``scratch``, ...); ``backbone`` for the first task.
        settings: Fields of the task kind (classes, palette, ...): with `kind`, enough to make inputs and pictures.
        recipe: How it was trained (steps, batch, learning rates, ...).
        metrics: Values on validation data at the selected step, by metric name; they may be infinite or NaN, which JSON
            writes as the strings ``inf``, ``-inf`` and ``nan``.
        provenance: Seed, parent state, versions, hardware, date: whatever tells where the numbers come from.
    """

    kind: str
    channels: int
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
