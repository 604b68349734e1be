"""The bundle's README: a page for people, derived from the rest and never read."""

from pathlib import Path

from stencilnet.bundle.disk import write_file
from stencilnet.bundle.format import BACKBONE, CARD
from stencilnet.bundle.reading import read_config, size_of, task_sizes
from stencilnet.bundle.records import read_task, task_names

_LABELS = "classification"
"""The task kind that gives labels; the others give pictures."""

_ROWS = 20
"""Most tasks that the page names: with thousands, a change of one must not cost a look at all."""

_PAGE = """---
library_name: stencilnet
tags: [{tag}, continual-learning, multi-task]
---

# {title}

One frozen backbone and {count} task{s}; each task is a small delta over it. Written by stencilnet: edits are lost.

| task | kind | learned by | bytes |
| --- | --- | --- | ---: |
{rows}{more}

Backbone: {architecture}, {backbone:,} bytes.

```python
import stencilnet as sn

engine = sn.Engine("path/to/this/folder")
{call}("photo.jpg", task="{example}")
```
"""


def write_card(root: Path) -> None:
    """Write ``README.md`` anew from the bundle as it is on disk: of many tasks, the first by name."""
    config, names = read_config(root), task_names(root)
    tasks = {name: read_task(root, name, config.backbone) for name in names[:_ROWS]}
    tasks = dict(sorted(tasks.items(), key=lambda item: (item[1].order, item[0])))
    rows = []
    for name, task in tasks.items():
        kind, method, size = task.record.kind, task.record.method, task_sizes(root, name, task)
        rows.append(f"| {name} | {_cell(kind)} | {_cell(method)} | {size['delta'] + size['record']:,} |")
    labels = next((task.record.kind for task in tasks.values()), "") == _LABELS
    page = _PAGE.format(
        title=root.resolve().name,
        count=f"{len(names):,}",
        s="" if len(names) == 1 else "s",
        rows="\n".join(rows),
        more=f"\n\nAnd {len(names) - len(rows):,} more: `stencil info` lists them." if len(names) > len(rows) else "",
        architecture=f"{config.architecture} {dict(config.arguments)}" if config.arguments else config.architecture,
        backbone=size_of(root, root / BACKBONE),
        example=next(iter(tasks), "task"),
        tag="image-classification" if labels else "image-to-image",
        call="labels = engine.label" if labels else "picture = engine.run",
    )
    write_file(root / CARD, page.encode())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")
