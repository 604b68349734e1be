"""The bundle's README: a page for people, derived from the rest and never read."""

from pathlib import Path

from stencilnet.bundle.disk import write_file
from stencilnet.bundle.format import CARD
from stencilnet.bundle.reading import read_config, read_records, sizes

_LABELS = "classification"
"""The task kind that gives labels; the others give pictures."""

_PAGE = """---
library_name: stencilnet
tags: [{tag}, continual-learning, multi-task]
---

# {title}

One frozen backbone and {count} task{s}; each task is a small delta over it. Written by stencilnet: edits are lost.

| task | kind | learned by | bytes |
| --- | --- | --- | ---: |
{rows}

Backbone: {architecture}, {backbone:,} bytes.

```python
import stencilnet as sn

engine = sn.Engine("path/to/this/folder")
{call}("photo.jpg", task="{example}")
```
"""


def write_card(root: Path) -> None:
    """Write ``README.md`` anew from the bundle as it is on disk."""
    config, records, measured = read_config(root), read_records(root), sizes(root)
    rows = []
    for name, record in records.items():
        size = measured["tasks"][name]
        rows.append(f"| {name} | {_cell(record.kind)} | {_cell(record.method)} | {size['delta'] + size['record']:,} |")
    labels = next((record.kind for record in records.values()), "") == _LABELS
    page = _PAGE.format(
        title=root.resolve().name,
        count=len(records),
        s="" if len(records) == 1 else "s",
        rows="\n".join(rows),
        architecture=f"{config.architecture} {dict(config.arguments)}" if config.arguments else config.architecture,
        backbone=measured["backbone"],
        example=next(iter(records), "task"),
        tag="image-classification" if labels else "image-to-image",
        call="labels = engine.label" if labels else "picture = engine.run",
    )
    write_file(root / CARD, page.encode())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")
