"""The description of a task, as the plain data that a bundle keeps in ``task.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """A learned task's description. Every value is JSON data.

    Attributes:
        kind: Task kind, as in a config (``segmentation``, ``colorization``, ...).
        channels: Output channels of the head.
        method: The method that learned it (``piggyback``, ``scratch``, ...); ``backbone`` for the first task.
        settings: Fields of the task kind (classes, palette, ...); with `kind`, enough to make inputs and pictures.
        recipe: How it was trained (steps, batch, learning rates, ...).
        metrics: Values on validation data at the selected step, by metric name. Infinite and NaN values are written to
            JSON as the strings ``inf``, ``-inf`` and ``nan``.
        provenance: Origin of the numbers: seed, parent state, versions, hardware, date.
    """

    kind: str
    channels: int
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
