"""Summary of a bundle: its backbone, its tasks and the size of each."""

from pathlib import Path
from typing import Any

from stencilnet.bundle.format import BACKBONE
from stencilnet.bundle.reading import read_config, size_of, task_sizes
from stencilnet.bundle.records import read_tasks
from stencilnet.delta.rounding import seed_number
from stencilnet.text.columns import aligned
from stencilnet.text.escaping import one_line
from stencilnet.text.shortening import shorten


def summary(path: str | Path) -> dict[str, Any]:
    """Return, as JSON data, the bundle's backbone and its tasks in the order of learning, with their bytes on disk.

    No tensor is read.

    Raises:
        BundleError: If there is no bundle, or a record is damaged.
    """
    root, config = Path(path), read_config(path)
    return {
        "architecture": config.architecture,
        "arguments": dict(config.arguments or {}),
        "backbone": config.backbone,
        "backbone_bytes": size_of(root, root / BACKBONE),
        "stored": config.stored,
        "tasks": {
            name: {
                "kind": task.record.kind,
                "channels": task.record.channels,
                "method": task.record.method,
                "metrics": dict(task.record.metrics),
                "bytes": sum(task_sizes(root, name, task).values()),
            }
            for name, task in read_tasks(root, config.backbone).items()
        },
    }


def summary_text(path: str | Path) -> str:
    """Return `summary` as plain text, with one line per task."""
    known = summary(path)
    arguments = ", ".join(f"{key} {value}" for key, value in known["arguments"].items())
    built = f"{known['architecture']} ({arguments})" if arguments else known["architecture"]
    stored = "" if known["stored"] == "float32" else f" as {known['stored']}"
    lines = [f"{_shown(built)}, {known['backbone_bytes']:,} bytes{stored}, {known['backbone'][:16]}"]
    whole = max(known["backbone_bytes"], 1)  # an emptied file is for `verify` to tell
    given = seed_number(known["stored"]) is not None  # by a number, which is nothing to compare with
    rows = [
        (
            f"  {name}",
            *(_shown(task[key]) for key in ("kind", "method")),
            f"{task['bytes']:,} bytes",
            "" if given else f"{task['bytes'] / whole:.1%} of the backbone",
        )
        for name, task in known["tasks"].items()
    ]
    return "\n".join([*lines, *aligned(rows, "<<<>>")])


def _shown(text: str) -> str:
    """Return text of a file as one short line, so that it cannot pass for another task's line."""
    return one_line(shorten(text))
