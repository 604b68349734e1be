"""Every task kind by name, and tasks rebuilt from a bundle's records."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from stencilnet.tasks.classification import Classification
from stencilnet.tasks.colorization import Colorization
from stencilnet.tasks.depth import Depth
from stencilnet.tasks.edges2photo import Edges2Photo
from stencilnet.tasks.normals import Normals
from stencilnet.tasks.restoration import Restoration
from stencilnet.tasks.segmentation import Segmentation
from stencilnet.tasks.style import StyleTransfer
from stencilnet.tasks.task import Task
from stencilnet.text.shortening import brief, listed

_KINDS: tuple[type[Task], ...] = (
    Segmentation,
    Colorization,
    StyleTransfer,
    Edges2Photo,
    Restoration,
    Depth,
    Normals,
    Classification,
)

KINDS: dict[str, type[Task]] = {kind.kind: kind for kind in _KINDS}
"""Task kinds by the name they have in configs and bundles."""

LOGITS = frozenset({Segmentation.kind, Classification.kind})
"""Kinds whose raw outputs are logits of classes; the others' are values."""


def task_from_record(kind: str, settings: Mapping[str, Any]) -> Task:
    """Rebuild a task from its kind and settings, as `Task.settings` gave them.

    Args:
        kind: One of `KINDS`.
        settings: Fields of the kind; those left out keep their defaults.

    Raises:
        ValueError: If there is no such kind, or settings are unknown, missing or wrong.
    """
    if kind not in KINDS:
        raise ValueError(
            f"Expected a task kind among {', '.join(KINDS)}, but got {brief(kind)}. A newer version may know it."
        )
    build: Callable[..., Task] = KINDS[kind]
    fields = signature(build).parameters
    unknown = sorted(set(settings) - set(fields))
    missing = [name for name, field in fields.items() if field.default is Parameter.empty and name not in settings]
    problems = [
        *([f"unknown {listed(unknown)}"] if unknown else []),
        *([f"missing {', '.join(missing)}"] if missing else []),
    ]
    if problems:
        raise ValueError(
            f"Expected settings of the task kind `{kind}`, but got {' and '.join(problems)}. "
            f"It has {', '.join(fields) or 'no settings'}."
        )
    return build(**settings)
