"""The bundle's README: a page for people, derived from the other files and read by no program."""

from itertools import islice
from pathlib import Path

from stencilnet.bundle.format import BACKBONE, CARD
from stencilnet.bundle.reading import read_config, size_of, task_sizes
from stencilnet.bundle.records import each_name, read_task
from stencilnet.bundle.schema import TaskFile
from stencilnet.storage import write_text
from stencilnet.text.escaping import markdown
from stencilnet.text.shortening import shorten

_LABELS = "classification"
"""The task kind that outputs labels; the others output pictures."""

_ROWS = 20
"""Most tasks that the page lists: among thousands, changing one task must not require reading the others."""

_TABLE = """| task | kind | learned by | bytes |
| --- | --- | --- | ---: |
{rows}"""

_MANY = f"More than {_ROWS} tasks: `stencil info` lists them."

_PAGE = """---
library_name: stencilnet
tags: [{tag}, continual-learning, multi-task]
---

# {title}

One frozen backbone and {count}; each task is a small delta over it. Written by stencilnet: edits are lost.

{tasks}

Backbone: {architecture}, {backbone:,} bytes.

```python
import stencilnet as sn

engine = sn.Engine("path/to/this/folder")
{call}("photo.jpg", task="{example}")
```
"""


def write_card(root: Path) -> None:
    """Rewrite ``README.md`` from the bundle on disk; if there are many tasks, without their list."""
    config, names = read_config(root), list(islice(each_name(root), _ROWS + 1))
    many = len(names) > _ROWS
    files = {name: read_task(root, name, config.backbone) for name in names[: 1 if many else None]}
    tasks = dict(sorted(files.items(), key=lambda item: (item[1].order, item[0])))
    labels = next((task.record.kind for task in tasks.values()), "") == _LABELS
    page = _PAGE.format(
        title=_shown(root.resolve().name),
        count="its tasks" if many else "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks",
        tasks=_MANY if many else _TABLE.format(rows="\n".join(_row(root, *item) for item in tasks.items())),
        architecture=_shown(
            f"{config.architecture} {dict(config.arguments)}" if config.arguments else config.architecture
        ),
        backbone=size_of(root, root / BACKBONE),
        example=next(iter(tasks), "task"),
        tag="image-classification" if labels else "image-to-image",
        call="labels = engine.label" if labels else "picture = engine.run",
    )
    write_text(root / CARD, page)


def _row(root: Path, name: str, task: TaskFile) -> str:
    size = sum(task_sizes(root, name, task).values())  # type: ignore[arg-type]
    return f"| {name} | {_shown(task.record.kind)} | {_shown(task.record.method)} | {size:,} |"


def _shown(text: str) -> str:
    """Return text of a file, shortened and escaped as Markdown."""
    return markdown(shorten(text))
